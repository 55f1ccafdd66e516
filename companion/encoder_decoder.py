"""From one sequence to another of its own length: an encoder reads, a decoder writes, attention looks back."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from companion.anatomy import LAYERS, check_recurrent, state_sizes
from companion.batching import BucketSampler, check_lengths, length_mask
from companion.decoding import beam_search
from companion.language_model import output_width
from companion.modes import evaluation_mode
from companion.tasks.memory import IGNORED
from companion.text import Vocabulary
from companion.validation import check_positive_int

__all__ = ["END", "EncoderDecoder", "PairBatches", "shift_right", "translate", "translation_loss"]

END = "\n"  # what the decoder reads first, and writes last


class EncoderDecoder(nn.Module):
    """One recurrent layer reads a text, another writes its translation, with or without attention.

    The decoder starts from the encoder's final state. With attention, each of its outputs is also a query: what it
    finds in the encoder's outputs, its memory, goes into the next character's score beside it.

    Args:
        encoder: any recurrent layer with nn's interface, time first; it may be bidirectional.
        decoder: another one, with as many layers and parts of the state (an LSTM has two); it reads one way.
        source: the :class:`~companion.text.Vocabulary` of what is read.
        target: that of what is written; ``END`` is one of its tokens.
        attention: an :class:`~companion.attention.Attention` whose query and keys have the decoder's width; or None.

    Raises:
        TypeError: a layer is no recurrent layer, or a vocabulary none.
        ValueError: the decoder is bidirectional, a layer has its batch first, the states do not fit, or the target
            vocabulary has no ``END``.

    Examples:
        >>> source, target = companion.Vocabulary("three four"), companion.Vocabulary("34\\n")
        >>> model = companion.EncoderDecoder(nn.GRU(8, 16, bidirectional=True), nn.GRU(8, 16), source, target)
        >>> sources, lengths = source.encode("three").unsqueeze(1), torch.tensor([5])  # (T, B), (B)
        >>> model(sources, lengths, target.encode("\\n3").unsqueeze(1)).shape  # (U, B, V)
        torch.Size([2, 1, 4])

    Source: :cite:t:`sutskever2014`, :cite:t:`cho2014`; attention after the layer: :cite:t:`luong2015`. Taught in
    *Sequence to sequence*.
    """

    def __init__(self, encoder, decoder, source, target, attention=None):
        super().__init__()
        check_parts(encoder, decoder, source, target)
        self.source, self.target = source, target
        self.source_embedding = nn.Embedding(len(source), encoder.input_size)
        self.target_embedding = nn.Embedding(len(target), decoder.input_size)
        self.encoder, self.decoder, self.attention = encoder, decoder, attention
        S, H = (2 if encoder.bidirectional else 1), output_width(decoder)
        widths = zip(state_sizes(encoder), state_sizes(decoder), strict=True)
        self.bridges = nn.ModuleList(nn.Linear(S * there, here) for there, here in widths)
        if attention is not None:
            self.memory = nn.Linear(output_width(encoder), H)
            self.combine = nn.Linear(2 * H, H)
        self.output = nn.Linear(H, len(target))

    def encode(self, sources: Tensor, lengths: Tensor) -> tuple[Any, Tensor | None, Tensor | None]:
        """Read the sources.

        Args:
            sources: padded token numbers, shape (T, B).
            lengths: the number of tokens of each, shape (B).

        Returns:
            What the decoder starts from: its first state; the memory, shape (T, B, H), and its mask, shape (T, B), or
            None in their place without attention. The batch is dimension 1 of everything in it.
        """
        check_lengths(lengths)
        packed = pack_padded_sequence(self.source_embedding(sources), lengths.cpu(), enforce_sorted=False)
        outputs, state = self.encoder(packed)
        parts = (state,) if isinstance(state, Tensor) else state
        parts = tuple(bridge(self._join_directions(part)) for bridge, part in zip(self.bridges, parts, strict=True))
        state = parts[0] if len(parts) == 1 else parts
        if self.attention is None:
            return state, None, None
        memory = self.memory(pad_packed_sequence(outputs)[0])  # (T, B, H)
        return state, memory, length_mask(lengths.to(memory.device))

    def decode(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any, Tensor | None]:
        """Score the token after each of these.

        Args:
            tokens: what is written so far, beginning with ``END``, or what has come since the state, shape (U, B).
            state: what :meth:`encode` or the last call gave.

        Returns:
            Logits of shape (U, B, V), the state after these tokens, and the weights of the attention, shape (U, B, T),
            or None.
        """
        layer_state, memory, mask = state
        outputs, layer_state = self.decoder(self.target_embedding(tokens), layer_state)  # (U, B, H)
        weights = None
        if self.attention is not None:
            context, weights = self.attention(outputs, memory, mask=mask)  # (U, B, H), (U, B, T)
            outputs = torch.tanh(self.combine(torch.cat([context, outputs], -1)))
        return self.output(outputs), (layer_state, memory, mask), weights

    def forward(self, sources: Tensor, lengths: Tensor, tokens: Tensor) -> Tensor:
        """Score every next token of a translation that is given: teacher forcing.

        Args:
            sources, lengths: see :meth:`encode`.
            tokens: what the decoder reads, shape (U, B), see :func:`shift_right`.

        Returns:
            Logits of shape (U, B, V).
        """
        return self.decode(tokens, self.encode(sources, lengths))[0]

    def _join_directions(self, part: Tensor) -> Tensor:
        """Final states (S * L, B, H), one direction after the other, to (L, B, S * H)."""
        L, (_, B, H) = self.encoder.num_layers, part.shape
        return part.view(L, -1, B, H).transpose(1, 2).reshape(L, B, -1)


def shift_right(targets: Tensor, start: int) -> Tensor:
    """What the decoder reads under teacher forcing: the start, then every target but the last.

    Args:
        targets: token numbers, shape (U, B); padding, -100, may stand at the end.
        start: the number of the token that is read first.

    Returns:
        Token numbers of the same shape; the start in place of padding, where no loss looks.

    Examples:
        >>> from companion.encoder_decoder import shift_right
        >>> shift_right(torch.tensor([[4, 5], [6, 1], [1, -100]]), start=1)  # two columns: 4 6 1 and 5 1
        tensor([[1, 1],
                [4, 5],
                [6, 1]])

    Source: :cite:t:`williams1989`. Taught in *Sequence to sequence*.
    """
    first = torch.full_like(targets[:1], start)
    read = torch.cat([first, targets[:-1]])
    return read.masked_fill(read == IGNORED, start)


def translation_loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor], state: Any = None) -> tuple[Tensor, Any]:
    """The mean cross-entropy of every next target, given the right ones before it; a ``loss`` for ``fit``.

    Args:
        model: an :class:`EncoderDecoder`, or anything called like one that has its ``target`` vocabulary.
        batch: a triple of :class:`PairBatches`.
        state: not used; ``fit`` passes it.

    Returns:
        The loss in nats a token, padding left out; and None.

    Examples:
        >>> from companion.encoder_decoder import EncoderDecoder, PairBatches, translation_loss
        >>> source, target = companion.Vocabulary("three four"), companion.Vocabulary("34\\n")
        >>> model = EncoderDecoder(nn.GRU(8, 16), nn.GRU(8, 16), source, target)
        >>> batches = PairBatches([("three", "3"), ("four four", "44")], source, target, batch_size=2)
        >>> translation_loss(model, next(iter(batches)))[0].shape
        torch.Size([])

    Taught in *Sequence to sequence*.
    """
    sources, lengths, targets = batch
    logits = model(sources, lengths, shift_right(targets, model.target.index[END]))  # (U, B, V)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED), None


class PairBatches:
    """Pairs of texts in padded batches of sources of nearly equal length, in a new random order in every pass.

    Args:
        pairs: sequences that begin with a source and its translation, two texts, such as
            :class:`~companion.tasks.dates.Written`; no source is empty.
        source: the vocabulary of the sources.
        target: that of the translations; ``END``, one of its tokens, is put behind each of them.
        batch_size: number B of pairs in a batch; the last one may be smaller.

    Yields:
        Triples: sources, shape (T, B), padded with 0; their lengths, shape (B); targets, shape (U, B), padded with
        -100.

    Raises:
        TypeError: ``batch_size`` is no int.
        ValueError: there are no pairs, a source is empty, ``batch_size`` is less than 1, or END is missing.

    Examples:
        >>> from companion.encoder_decoder import PairBatches
        >>> source, target = companion.Vocabulary("three four"), companion.Vocabulary("34\\n")
        >>> batches = PairBatches([("three", "3"), ("four four", "44")], source, target, batch_size=2)
        >>> [tuple(part.shape) for part in next(iter(batches))]
        [(9, 2), (2,), (3, 2)]

    Taught in *Sequence to sequence*.
    """

    continues = False

    def __init__(self, pairs: Sequence[Sequence[str]], source: Vocabulary, target: Vocabulary, batch_size: int):
        check_end(target)
        self.sources = [source.encode(pair[0]) for pair in pairs]
        self.targets = [target.encode(pair[1] + END) for pair in pairs]
        self.lengths = torch.tensor([len(tokens) for tokens in self.sources], dtype=torch.long)
        self.sampler = BucketSampler(self.lengths, batch_size)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for chosen in self.sampler:
            sources = pad_sequence([self.sources[number] for number in chosen])  # (T, B)
            targets = pad_sequence([self.targets[number] for number in chosen], padding_value=IGNORED)  # (U, B)
            yield sources, self.lengths[chosen], targets


def translate(model: nn.Module, texts: Sequence[str], width: int = 1, max_length: int = 32) -> list[str]:
    """Translate texts, with the model's own output as its next input.

    Args:
        model: a trained :class:`EncoderDecoder`.
        texts: what to translate, none of them empty.
        width: 1 takes the likeliest token at every step (greedy), for all texts at once; more keep that many
            beginnings, one text after the other, see :func:`~companion.decoding.beam_search`.
        max_length: after how many tokens the decoder is stopped, if it does not stop itself.

    Returns:
        The translations, in the order of the texts.

    Raises:
        TypeError: ``texts`` is one string, or ``width`` or ``max_length`` no int.
        ValueError: a text is empty, or ``width`` or ``max_length`` is less than 1.

    Examples:
        >>> from companion.encoder_decoder import EncoderDecoder, translate
        >>> source, target = companion.Vocabulary("three four"), companion.Vocabulary("34\\n")
        >>> model = EncoderDecoder(nn.GRU(8, 16), nn.GRU(8, 16), source, target)
        >>> [len(text) <= 5 for text in translate(model, ["three", "four"], max_length=5)]
        [True, True]

    Taught in *Sequence to sequence*.
    """
    check_positive_int("width", width)
    check_positive_int("max_length", max_length)
    if isinstance(texts, str):
        raise TypeError("texts should be a list of texts, got one string: put it into a list")
    if len(texts) == 0:
        return []
    with evaluation_mode(model):
        if width == 1:
            rows = _greedy(model, texts, max_length)
        else:
            rows = [_beam(model, text, width, max_length) for text in texts]
    return [model.target.decode(row).partition(END)[0] for row in rows]


def _greedy(model: nn.Module, texts: Sequence[str], max_length: int) -> list[list[int]]:
    state, end = _read(model, texts), model.target.index[END]
    tokens = torch.full((1, len(texts)), end, device=_device(model))
    written, done = [], torch.zeros_like(tokens, dtype=torch.bool)
    for _ in range(max_length):
        logits, state, _ = model.decode(tokens, state)  # (1, B, V)
        tokens = logits.argmax(-1)  # (1, B)
        written.append(tokens)
        done |= tokens == end
        if done.all():
            break
    return torch.cat(written).T.tolist()


def _beam(model: nn.Module, text: str, width: int, max_length: int) -> Sequence[int]:
    def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state, _ = model.decode(tokens.unsqueeze(0), state)
        return logits[0].log_softmax(-1), state

    end = torch.tensor(model.target.index[END], device=_device(model))
    found = beam_search(step, _read(model, [text]), end, width=width, max_length=max_length, end=int(end))
    return found[0].tokens


def _read(model: nn.Module, texts: Sequence[str]) -> Any:
    tokens = [model.source.encode(text) for text in texts]
    lengths = torch.tensor([len(numbers) for numbers in tokens])
    if int(lengths.min()) == 0:
        raise ValueError(f"texts should not be empty, got an empty one at {int(lengths.argmin())}")
    return model.encode(pad_sequence(tokens).to(_device(model)), lengths)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def check_end(target: Any) -> None:
    """Raise ValueError unless END is a token of the target vocabulary."""
    if END not in target.index:
        raise ValueError(f"target should hold the token {END!r}, which ends a translation; got {target.tokens}")


def check_parts(encoder: Any, decoder: Any, source: Any, target: Any) -> None:
    """Raise unless encoder and decoder are layers whose states fit, and the vocabularies are vocabularies."""
    for name, layer in (("encoder", encoder), ("decoder", decoder)):
        check_recurrent(layer, LAYERS)
        if layer.batch_first:
            raise ValueError(f"{name} should have the time first, got batch_first=True")
    for name, vocabulary in (("source", source), ("target", target)):
        if not isinstance(vocabulary, Vocabulary):
            raise TypeError(f"{name} should be a Vocabulary, got a {type(vocabulary).__name__}")
    check_end(target)
    if decoder.bidirectional:
        raise ValueError("decoder should read one way, got bidirectional=True: it cannot know what it will write")
    if encoder.num_layers != decoder.num_layers or len(state_sizes(encoder)) != len(state_sizes(decoder)):
        found = [f"{type(layer).__name__} with num_layers={layer.num_layers}" for layer in (encoder, decoder)]
        raise ValueError(f"encoder and decoder should have states of one form, got {found[0]} and {found[1]}")
