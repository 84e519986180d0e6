"""An invented catalogue of music: 10,000 songs by 3,000 artists, and songs that the catalogue doesn't know."""

from __future__ import annotations

import json
import string
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random

from music_lakehouse.simulator.places import City, cities
from music_lakehouse.simulator.weighted import Weighted, read_json

SONGS = 10_000
ARTISTS = 3_000
UNKNOWN_SONGS = 400
UNKNOWN_ARTISTS = 150
UNKNOWN_DURATION = "180.0"
# Of the catalogue, not of a run: songs.csv and all runs must mean the same songs.
_SEED = 20_110_208
_ID_CHARACTERS = string.ascii_uppercase + string.digits


@dataclass(frozen=True)
class Artist:
    """An invented artist; `home` is where the artist comes from, None where that isn't known."""

    artist_id: str
    name: str
    home: City | None


@dataclass(frozen=True)
class Song:
    """An invented song. `duration` is the text of a 32-bit float, in seconds; songs that the catalogue doesn't know
    have no id."""

    song_id: str
    title: str
    artist: Artist
    duration: str
    key: int
    key_confidence: float
    loudness: float
    hotness: float | None
    tempo: float
    year: int

    @cached_property
    def whole_seconds(self) -> int:
        return int(float(self.duration))

    @cached_property
    def text(self) -> str:
        """The song's part of an event's JSON text."""
        artist, title = (json.dumps(name, ensure_ascii=False) for name in (self.artist.name, self.title))
        return f'"artist":{artist},"song":{title},"duration":{self.duration}'


@dataclass(frozen=True)
class Catalogue:
    """`songs`, most popular first, are what songs.csv holds; `unknown` are the songs that only listeners know."""

    songs: tuple[Song, ...]
    unknown: tuple[Song, ...]

    def popularity(self, unknown_share: float) -> Weighted[Song]:
        """All songs, weighted: within the catalogue by rank as Zipf found for words, the unknown ones alike, with
        `unknown_share` of all listens together."""
        # The summand flattens the top: the first song gets 1.3 % of the listens, not a tenth.
        ranked = [(song, 1 / (rank + 10)) for rank, song in enumerate(self.songs, 1)]
        total = sum(weight for _, weight in ranked)
        known = [(song, weight / total * (1 - unknown_share)) for song, weight in ranked]
        return Weighted([*known, *((song, unknown_share / len(self.unknown)) for song in self.unknown)])


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue, the same in every process; made once in each."""
    rng = Random(_SEED)
    namer = Namer(rng)
    names = namer.artists()
    artists = [Artist(_identifier("AR", rng), next(names), _home(rng)) for _ in range(ARTISTS)]
    fame = Weighted((artist, 1 / rank) for rank, artist in enumerate(artists, 5))
    # Every artist has a song; the other songs are mostly by few artists.
    owners = [*artists, *(fame.pick(rng) for _ in range(SONGS - ARTISTS))]
    songs = [
        _song(_identifier("SO", rng), title, artist, _duration(rng), rng) for artist, title in _titled(owners, namer)
    ]
    songs.sort(key=lambda song: rng.random())
    strangers = [Artist("", next(names), None) for _ in range(UNKNOWN_ARTISTS)]
    obscure = [*strangers, *(fame.pick(rng) for _ in range(UNKNOWN_SONGS - UNKNOWN_ARTISTS))]
    unknown = [_song("", f"{namer.title()} (Demo)", artist, UNKNOWN_DURATION, rng) for artist in obscure]
    return Catalogue(tuple(songs), tuple(unknown))


class Namer:
    """Invents names from the word lists in `tables/catalogue_words.json`, none of them of a real artist or song: each
    has either an invented word or an unlikely pair of common ones."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._words: dict[str, list[str]] = read_json("catalogue_words.json")
        self._artist_patterns = Weighted[str](self._words["artist_patterns"])
        self._title_patterns = Weighted[str](self._words["title_patterns"])

    def artists(self) -> Iterator[str]:
        """Names of artists, none twice."""
        seen: set[str] = set()
        while True:
            name = self._fill(self._artist_patterns)
            if name not in seen:
                seen.add(name)
                yield name

    def title(self) -> str:
        """The title of a song; it may come again, as titles do."""
        return self._fill(self._title_patterns)

    def word(self) -> str:
        """An invented word, in one of eight cases with an accent."""
        inner = "".join(self._syllable("consonants") for _ in range(1 + (self._rng.random() < 0.5)))
        return (self._syllable("onsets") + inner + self._one_of("endings")).capitalize()

    def _syllable(self, consonants: str) -> str:
        vowels = "accented_vowels" if self._rng.random() < 0.055 else "vowels"
        return self._one_of(consonants) + self._one_of(vowels)

    def _fill(self, patterns: Weighted[str]) -> str:
        return patterns.pick(self._rng).format(
            word=self.word(),
            word2=self.word(),
            word3=self.word(),
            adjective=self._one_of("adjectives"),
            noun=self._one_of("nouns"),
            noun2=self._one_of("nouns"),
            verb=self._one_of("verbs"),
        )

    def _one_of(self, kind: str) -> str:
        words = self._words[kind]
        return words[int(self._rng.random() * len(words))]


def _titled(owners: list[Artist], namer: Namer) -> Iterator[tuple[Artist, str]]:
    """Each owner with a title; no artist has one title twice."""
    seen: set[tuple[str, str]] = set()
    for artist in owners:
        title = namer.title()
        while (artist.name, title) in seen:
            title = namer.title()
        seen.add((artist.name, title))
        yield artist, title


def _song(song_id: str, title: str, artist: Artist, duration: str, rng: Random) -> Song:
    return Song(
        song_id=song_id,
        title=title,
        artist=artist,
        duration=duration,
        key=int(rng.random() * 12),
        key_confidence=round(rng.random(), 3),
        loudness=round(-2 - 12 * rng.random() - 12 * rng.random(), 3),
        hotness=None if rng.random() < 0.3 else round(rng.random() ** 0.7, 9),
        tempo=round(70 + 110 * rng.random(), 3),
        year=0 if rng.random() < 0.3 else 2011 - int(50 * rng.random() ** 2),
    )


def _duration(rng: Random) -> str:
    """Mostly three to five minutes; the shortest text that reads as the same 32-bit float."""
    seconds = 45 + sum(rng.random() for _ in range(4)) * 100
    if rng.random() < 0.05:
        seconds *= 1 + 2 * rng.random()
    packed = struct.pack("f", seconds)
    (seconds,) = struct.unpack("f", packed)
    digits = next(d for d in range(5, 10) if struct.pack("f", float(f"{seconds:.{d}g}")) == packed)
    return repr(float(f"{seconds:.{digits}g}"))


def _home(rng: Random) -> City | None:
    return cities().pick(rng) if rng.random() < 0.6 else None


def _identifier(prefix: str, rng: Random) -> str:
    return prefix + "".join(_ID_CHARACTERS[int(rng.random() * len(_ID_CHARACTERS))] for _ in range(16))
