"""Recurrent networks in PyTorch: the layers of the book *Recurrent Networks, Twice*, and what it takes to use them."""

from importlib.metadata import PackageNotFoundError, version

from companion.anatomy import blueprint, count_parameters, explain, flops_per_step, shapes
from companion.attention import AdditiveAttention, DotProductAttention
from companion.cells import GRUCell, LSTMCell, RNNCell
from companion.checkpoints import load_checkpoint, load_weights, save_checkpoint
from companion.classifier import SequenceClassifier
from companion.crf import ConditionalRandomField
from companion.decoding import (
    beam_search,
    generate,
    generate_with_beam,
    keep_nucleus,
    keep_top_k,
    next_token_step,
    sample_token,
)
from companion.distributed import distributed_model
from companion.encoder_decoder import EncoderDecoder
from companion.entities import EntityTagger
from companion.forecasting import (
    Forecaster,
    Scaler,
    SeasonalForecaster,
    TimeSplit,
    conformal_margin,
    forecast_loss,
    interval_coverage,
    pinball_loss,
    recursive_forecast,
    seasonal_naive,
    time_split,
    windows,
)
from companion.initialization import identity_, orthogonal_, set_forget_bias
from companion.language_model import LanguageModel, one_hot
from companion.layers import GRU, LSTM, RNN, RecurrentLayer
from companion.metrics import bits_per_character, distinct_share, longest_copied_run, perplexity
from companion.ngram import NGramModel, ngrams
from companion.probes import correlate_with, gradient_norms, record_gates, saturation, time_constants
from companion.runs import Run, load_run, save_run
from companion.scan import (
    MinGRU,
    MinLSTM,
    linear_recurrence,
    log_space_scan,
    parallel_scan,
    sequential_scan,
)
from companion.sru import SRU, SRUCell
from companion.states import last_valid, split_states
from companion.steps import gru_step, lstm_step, rnn_step, sru_step
from companion.streaming import Stream
from companion.tagging import RestorationTags, TaggedWindows, TagScore
from companion.tasks import (
    adding_batches,
    adding_loss,
    copy_batches,
    first_letter_batches,
    parity_batches,
    task_accuracy,
)
from companion.text import (
    Corpus,
    RandomBatches,
    SequentialBatches,
    Vocabulary,
    load_story,
    load_time_machine,
    split_tokens,
)
from companion.training import History, choose_device, detach_state, evaluate, fit, next_token_loss, one_cycle

try:
    __version__ = version("recurrent-companion")
except PackageNotFoundError:  # the folder is on the path, but was never installed
    __version__ = "0.1.0"

__all__ = [
    "adding_batches",
    "adding_loss",
    "AdditiveAttention",
    "beam_search",
    "bits_per_character",
    "blueprint",
    "choose_device",
    "ConditionalRandomField",
    "conformal_margin",
    "copy_batches",
    "Corpus",
    "correlate_with",
    "count_parameters",
    "detach_state",
    "distinct_share",
    "distributed_model",
    "DotProductAttention",
    "EncoderDecoder",
    "EntityTagger",
    "evaluate",
    "explain",
    "first_letter_batches",
    "fit",
    "flops_per_step",
    "forecast_loss",
    "Forecaster",
    "generate",
    "generate_with_beam",
    "gradient_norms",
    "GRU",
    "gru_step",
    "GRUCell",
    "History",
    "identity_",
    "interval_coverage",
    "keep_nucleus",
    "keep_top_k",
    "LanguageModel",
    "last_valid",
    "linear_recurrence",
    "load_checkpoint",
    "load_run",
    "load_story",
    "load_time_machine",
    "load_weights",
    "log_space_scan",
    "longest_copied_run",
    "LSTM",
    "lstm_step",
    "LSTMCell",
    "MinGRU",
    "MinLSTM",
    "next_token_loss",
    "next_token_step",
    "NGramModel",
    "ngrams",
    "one_cycle",
    "one_hot",
    "orthogonal_",
    "parallel_scan",
    "parity_batches",
    "perplexity",
    "pinball_loss",
    "RandomBatches",
    "record_gates",
    "RecurrentLayer",
    "recursive_forecast",
    "RestorationTags",
    "RNN",
    "rnn_step",
    "RNNCell",
    "Run",
    "sample_token",
    "saturation",
    "save_checkpoint",
    "save_run",
    "Scaler",
    "seasonal_naive",
    "SeasonalForecaster",
    "SequenceClassifier",
    "sequential_scan",
    "SequentialBatches",
    "set_forget_bias",
    "shapes",
    "split_states",
    "split_tokens",
    "SRU",
    "sru_step",
    "SRUCell",
    "Stream",
    "TaggedWindows",
    "TagScore",
    "task_accuracy",
    "time_constants",
    "time_split",
    "TimeSplit",
    "Vocabulary",
    "windows",
]
