"""Finding names in sentences: words and characters as numbers, and a tagger that reads both, with a CRF or without.

Shapes: T words of a sentence, B sentences in a batch, C characters of a word, K tags.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader

from companion.batching import BucketSampler, length_mask
from companion.crf import ConditionalRandomField
from companion.language_model import output_width
from companion.modes import evaluation_mode

__all__ = ["EntityTagger", "SentenceEncoder", "tagging_loss"]

PADDING = -100  # the tag of a place without a word, torch's own ignore_index

Sentence = tuple[Sequence[str], Sequence[str]]


class SentenceEncoder:
    """Words, characters and tags as numbers: learned from training sentences, for any sentence after them.

    Words count in small letters; what capitals say is left to the characters. Word 0 is any word that was not there,
    character 0 is padding, character 1 any that was not there.

    Args:
        sentences: pairs (words, tags), such as :func:`companion.tasks.reports.draw_reports` gives.
        tags: the K tags; a tag's place is its number.

    Attributes:
        words: numbers by word.
        characters: numbers by character.
        tags: the tags as given.

    Raises:
        ValueError: there are no sentences.

    Examples:
        >>> from companion.entities import SentenceEncoder
        >>> encoder = SentenceEncoder([(["Wren", "slept"], ["B-person", "O"])], ["O", "B-person"])
        >>> words, characters, tags = encoder.encode((["Wren", "woke"], ["B-person", "O"]))
        >>> words, tags, characters.shape  # (T), (T), (T, C)
        (tensor([2, 0]), tensor([1, 0]), torch.Size([2, 4]))

    Taught in *Tagging*.
    """

    def __init__(self, sentences: Iterable[Sentence], tags: Sequence[str]) -> None:
        words = Counter(word for sentence, _ in sentences for word in sentence)
        if not words:
            raise ValueError("sentences should hold at least one word, got none")
        self.tags = tuple(tags)
        self.words = {word: number for number, word in enumerate(sorted({w.lower() for w in words}), start=1)}
        self.characters = {character: number for number, character in enumerate(sorted(set("".join(words))), start=2)}

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many numbers there are for words, for characters, and for tags: the sizes of an :class:`EntityTagger`."""
        return len(self.words) + 1, len(self.characters) + 2, len(self.tags)

    def encode(self, sentence: Sentence) -> tuple[Tensor, Tensor, Tensor]:
        """One pair (words, tags) as word numbers (T), character numbers (T, C) padded with 0, and tag numbers (T)."""
        words, tags = sentence
        if len(words) != len(tags) or not words:
            raise ValueError(f"tags should be one for each of {len(words)} words, at least 1, got {len(tags)}")
        spelled = [torch.tensor([self.characters.get(character, 1) for character in word]) for word in words]
        return (
            torch.tensor([self.words.get(word.lower(), 0) for word in words]),
            pad_sequence(spelled, batch_first=True),
            torch.tensor([self.tags.index(tag) for tag in tags]),
        )

    def collate(self, examples: Sequence[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, ...]:
        """Encoded sentences as one batch: words (T, B), characters (T, B, C), lengths (B), and tags (T, B).

        Padding is 0, among the tags -100.
        """
        words, characters, tags = zip(*examples, strict=True)
        longest = max(spelled.shape[1] for spelled in characters)
        wide = [F.pad(spelled, (0, longest - spelled.shape[1])) for spelled in characters]
        lengths = torch.tensor([len(numbers) for numbers in words])
        return pad_sequence(words), pad_sequence(wide), lengths, pad_sequence(tags, padding_value=PADDING)

    def batches(self, sentences: Sequence[Sentence], batch_size: int = 32, shuffle: bool = True) -> DataLoader:
        """Batches for :func:`companion.training.fit`: in order, or shuffled anew in each pass and sorted by length."""
        examples = [self.encode(sentence) for sentence in sentences]
        if not shuffle:
            return DataLoader(examples, batch_size, collate_fn=self.collate)
        sampler = BucketSampler(torch.tensor([len(words) for words, _, _ in examples]), batch_size)
        return DataLoader(examples, batch_sampler=sampler, collate_fn=self.collate)


class EntityTagger(nn.Module):
    """A bidirectional layer over words that a second one has spelled; above it a CRF, or a softmax for each word.

    A word is its own embedding beside the final states of ``speller``, which reads its characters both ways. A name
    that was never there has a spelling, and neighbors. So that the tagger learns to use them, words are hidden at
    random in training, as if they had never been there.

    Args:
        layer: reads the words, such as ``nn.LSTM(64, 48, bidirectional=True)``: any recurrent layer of nn's interface,
            time first.
        speller: reads the characters of a word, such as ``nn.LSTM(16, 16, bidirectional=True)``, time first.
        vocabulary_size: the number of words, the unknown one among them.
        alphabet_size: the number of characters, padding and the unknown one among them.
        num_tags: the number K of tags.
        crf: a :class:`~companion.crf.ConditionalRandomField` for K tags, time first; None for a softmax.
        dropout: probability to zero a feature of a word and of the layer's output, in training.
        hide_words: probability to hide a word, in training.

    Raises:
        ValueError: ``layer`` reads too few features to hold what ``speller`` gives and a word's embedding besides, a
            layer is ``batch_first``, or the CRF is for another number of tags.

    Examples:
        >>> layer, speller = (nn.LSTM(size, 8, bidirectional=True) for size in (24, 4))
        >>> tagger = companion.EntityTagger(layer, speller, vocabulary_size=50, alphabet_size=30, num_tags=5)
        >>> words, characters = torch.randint(50, (7, 2)), torch.randint(1, 30, (7, 2, 6))  # (T, B), (T, B, C)
        >>> tagger(words, characters, torch.tensor([7, 4])).shape
        torch.Size([7, 2, 5])

    Source: :cite:t:`lample2016`. Taught in *Tagging*.
    """

    def __init__(
        self,
        layer: nn.Module,
        speller: nn.Module,
        vocabulary_size: int,
        alphabet_size: int,
        num_tags: int,
        crf: ConditionalRandomField | None = None,
        dropout: float = 0.3,
        hide_words: float = 0.2,
    ) -> None:
        super().__init__()
        width = layer.input_size - output_width(speller)
        if width < 1:
            least = output_width(speller)
            raise ValueError(f"layer should read more than the {least} features of speller, got {layer.input_size}")
        if layer.batch_first or speller.batch_first or (crf is not None and crf.batch_first):
            raise ValueError("layer, speller and crf should have time first, got batch_first=True")
        if crf is not None and crf.num_tags != num_tags:
            raise ValueError(f"crf should be for num_tags={num_tags}, got one for {crf.num_tags}")
        self.layer, self.speller, self.crf, self.hide_words = layer, speller, crf, hide_words
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.alphabet = nn.Embedding(alphabet_size, speller.input_size)
        self.output = nn.Linear(output_width(layer), num_tags)
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor, characters: Tensor, lengths: Tensor) -> Tensor:
        """Score every tag for every word.

        Args:
            words: word numbers, shape (T, B).
            characters: character numbers, shape (T, B, C), 0 behind a word's end.
            lengths: the number of words of each sentence, shape (B).

        Returns:
            Emissions of shape (T, B, K).
        """
        if self.training:
            words = words.masked_fill(torch.rand(words.shape, device=words.device) < self.hide_words, 0)
        features = torch.cat([self.embedding(words), self.spell(characters, lengths)], -1)  # (T, B, D)
        packed = pack_padded_sequence(self.dropout(features), lengths.cpu(), enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.layer(packed)[0], total_length=len(words))  # (T, B, S * H)
        return self.output(self.dropout(outputs))

    def spell(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """The final states of ``speller`` for every word, both directions side by side, zeros in the padding."""
        real = length_mask(lengths, len(characters))  # (T, B)
        spelled = characters[real].T  # (C, number of words)
        sizes = (spelled != 0).sum(0).clamp(min=1).cpu()
        packed = pack_padded_sequence(self.alphabet(spelled), sizes, enforce_sorted=False)
        final = self.speller(packed)[1]
        final = final[0] if isinstance(final, tuple) else final  # h of an LSTM
        states = final.transpose(0, 1).flatten(1)  # (number of words, S * H)
        features = states.new_zeros(*real.shape, states.shape[1])
        features[real] = states
        return features

    @torch.no_grad()
    def decode(self, words: Tensor, characters: Tensor, lengths: Tensor) -> Tensor:
        """The best tags, shape (T, B): of the CRF's best path, or one by one. The padding may hold anything."""
        emissions = self(words, characters, lengths)
        if self.crf is None:
            return emissions.argmax(-1)
        return self.crf.decode(emissions, length_mask(lengths, len(words)))

    def tag(self, batches: Iterable[tuple[Tensor, ...]], tags: Sequence[str]) -> list[list[str]]:
        """The tags by name of all sentences of batches that are in order, in evaluation mode."""
        device, found = self.output.weight.device, []
        with evaluation_mode(self):
            for words, characters, lengths, *_ in batches:
                numbers = self.decode(words.to(device), characters.to(device), lengths.to(device)).T.tolist()
                pairs = zip(numbers, lengths.tolist(), strict=True)
                found += [[tags[number] for number in row[:length]] for row, length in pairs]
        return found


def tagging_loss(model: EntityTagger, batch: tuple[Tensor, ...], state: None = None) -> tuple[Tensor, None]:
    """How surprising the right tags are, in nats a word; a ``loss`` for ``fit`` and ``evaluate``.

    Args:
        model: an :class:`EntityTagger`.
        batch: what :class:`SentenceEncoder` makes: words, characters, lengths, tags.
        state: there is none.

    Returns:
        The negative log-probability of all tags, divided by the number of words, and None. With a CRF it is that of
        whole paths, without one the cross-entropy of each tag.

    Examples:
        >>> from companion.entities import EntityTagger, SentenceEncoder, tagging_loss
        >>> encoder = SentenceEncoder([(["Wren", "slept"], ["B-person", "O"])], ["O", "B-person"])
        >>> layer, speller = (nn.GRU(size, 8, bidirectional=True) for size in (24, 4))
        >>> model = EntityTagger(layer, speller, *encoder.sizes)
        >>> batch = next(iter(encoder.batches([(["Wren", "woke"], ["B-person", "O"])])))
        >>> tagging_loss(model, batch)[0].shape
        torch.Size([])

    Source: :cite:t:`lample2016`. Taught in *Tagging*.
    """
    words, characters, lengths, tags = batch
    emissions = model(words, characters, lengths)  # (T, B, K)
    if model.crf is None:
        return F.cross_entropy(emissions.flatten(0, 1), tags.flatten(), ignore_index=PADDING), None
    return -model.crf(emissions, tags, length_mask(lengths, len(words))).sum() / lengths.sum(), None
