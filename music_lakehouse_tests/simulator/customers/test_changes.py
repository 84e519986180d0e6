from __future__ import annotations

from datetime import date
from itertools import pairwise
from random import Random

from music_lakehouse.simulator.customers.changes import changed, corrected, known_customer, new_customer, redated
from music_lakehouse.simulator.customers.tpch import Customer, Line, Order, Sale

ANNA = Customer("7", "Customer#000000007", "Main Street 1", "3", "13-100-200-3000", "711.56", "BUILDING", "none")
ORDER = Order("1", "7", "F", "100.00", "1996-02-28", "1-URGENT", "Clerk#1", "0", "none")
LINE = Line("1", "2", "3", "1", "5", "50.00", "0.05", "0.02", "R", "F", *[""] * 6)._replace(
    l_shipdate="1996-03-10", l_commitdate="1996-02-29", l_receiptdate="1996-03-20"
)
SALE = Sale(ORDER, (LINE, LINE._replace(l_linenumber="2")))


def test_a_changed_customer_differs_in_what_customers_change(seed: int) -> None:
    print(f"seed {seed}")
    rng, customer, fields = Random(seed), ANNA, set()
    for _ in range(500):
        after = changed(customer, rng)
        assert after != customer
        fields |= {name for name in Customer._fields if getattr(after, name) != getattr(customer, name)}
        assert after.c_phone.startswith(f"{int(after.c_nationkey) + 10}-")
        assert -999.99 <= float(after.c_acctbal) <= 9999.99
        customer = after
    assert fields == {"c_address", "c_nationkey", "c_phone", "c_acctbal", "c_mktsegment"}


def test_a_new_customer_comes_first_as_is_and_then_at_most_in_later_chunks(seed: int) -> None:
    print(f"seed {seed}")
    deliveries = [list(new_customer(ANNA, 3, range(4, 12), Random(f"{seed} {n}"))) for n in range(500)]
    for chunks in deliveries:
        assert ANNA in [row for chunk, row in chunks if chunk == 3]
        assert [row for chunk, row in chunks if chunk == 3][-1] == ANNA
        assert [chunk for chunk, _ in chunks] == sorted(chunk for chunk, _ in chunks)
    assert any(chunk == 11 for chunks in deliveries for chunk, _ in chunks)


def test_customers_change_stay_and_go_back_and_come_twice_in_one_chunk(seed: int) -> None:
    print(f"seed {seed}")
    seen = set()
    for number in range(500):
        deliveries = list(known_customer(ANNA, range(1, 20), Random(f"{seed} {number}")))
        for (chunk, row), (following, then) in pairwise(deliveries):
            seen.add(("twice" if chunk == following else "later", "same" if row == then else "changed"))
        rows = [row for _, row in deliveries]
        if any(a == c != b for a, b, c in zip(rows, rows[1:], rows[2:], strict=False)):
            seen.add(("back", "to before"))
    assert seen == {
        ("twice", "same"),
        ("twice", "changed"),
        ("later", "same"),
        ("later", "changed"),
        ("back", "to before"),
    }


def test_a_redated_sale_keeps_the_distance_of_its_dates_and_is_neither_shipped_nor_returned() -> None:
    sale = redated(SALE, date(2024, 2, 28))
    assert sale.order == ORDER._replace(o_orderdate="2024-02-28", o_orderstatus="O")
    assert sale.lines[0] == LINE._replace(
        l_returnflag="N",
        l_linestatus="O",
        l_shipdate="2024-03-10",
        l_commitdate="2024-02-29",
        l_receiptdate="2024-03-20",
    )
    assert len(sale.lines) == 2


def test_a_corrected_sale_is_a_day_later_and_its_first_line_returned() -> None:
    assert corrected(SALE) == Sale(ORDER._replace(o_orderdate="1996-02-29"), (LINE._replace(l_returnflag="R"),))
