"""Data that is made, not found: seeded tasks, the same on every machine, with nothing to download.

====================== =========================================================================
module                 what it makes
====================== =========================================================================
:mod:`~.tasks.memory`  sequences of random numbers that only a memory can answer
:mod:`~.tasks.remarks` short texts, from the story and from templates, each with a label
:mod:`~.tasks.reports` reports of people, places and dates, each word with a tag
:mod:`~.tasks.dates`   dates and numbers written out in English and Chinese, with their ISO form
:mod:`~.tasks.tones`   digit strings as telephone tones, with noise
====================== =========================================================================
"""

from companion.tasks.arguments import check_sizes as check_sizes
from companion.tasks.arguments import random_source as random_source
from companion.tasks.memory import ADDING_BASELINE as ADDING_BASELINE
from companion.tasks.memory import IGNORED as IGNORED
from companion.tasks.memory import adding_batches as adding_batches
from companion.tasks.memory import adding_loss as adding_loss
from companion.tasks.memory import copy_batches as copy_batches
from companion.tasks.memory import first_letter_batches as first_letter_batches
from companion.tasks.memory import parity_batches as parity_batches
from companion.tasks.memory import task_accuracy as task_accuracy
