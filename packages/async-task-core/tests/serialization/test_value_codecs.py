"""Third parties carry values of their own."""

from fractions import Fraction

import pytest
from async_task.errors import ConfigurationError, DecodeError, EncodeError
from async_task.serialization.codec import Codec
from async_task.serialization.types import TypeRegistry


class FractionCodec:
    tag = "fraction"

    def handles(self, value: object) -> bool:
        return isinstance(value, Fraction)

    def encode(self, value: object) -> object:
        assert isinstance(value, Fraction)
        if value < 0:
            raise ValueError("negative fractions are not stored")
        if value == 0:
            return [object()]
        return (value.numerator, value.denominator)

    def decode(self, data: object) -> object:
        assert isinstance(data, tuple)
        return Fraction(*data)


codec = Codec(TypeRegistry(), [FractionCodec()])


def test_values_come_back() -> None:
    value = {Fraction(1, 3): [Fraction(2**80, 3)]}
    assert codec.decode(codec.encode(value)) == value


def test_refusals_name_the_place() -> None:
    with pytest.raises(EncodeError, match="negative fractions are not stored") as caught:
        codec.encode([Fraction(-1)])
    assert caught.value.path == "value[0]"
    with pytest.raises(EncodeError) as caught:
        codec.encode([Fraction(0)])
    assert caught.value.path == "value[0][0]"


def test_bad_data_is_a_decode_error() -> None:
    zero = codec.encode(Fraction(1, 3)).replace(b"\x01\x03", b"\x01\x00")
    with pytest.raises(DecodeError, match="fraction"):
        codec.decode(zero)
    with pytest.raises(DecodeError, match="fraction"):
        Codec(TypeRegistry()).decode(codec.encode(Fraction(1, 3)))


def test_a_tag_is_one_codec() -> None:
    with pytest.raises(ConfigurationError, match="fraction"):
        Codec(TypeRegistry(), [FractionCodec(), FractionCodec()])


def test_a_stand_in_that_never_ends_is_refused() -> None:
    class Endless(FractionCodec):
        def encode(self, value: object) -> object:
            assert isinstance(value, Fraction)
            return value + 1

    with pytest.raises(EncodeError, match="deeper than 32"):
        Codec(TypeRegistry(), [Endless()]).encode(Fraction(1))
