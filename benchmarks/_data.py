"""Two synthetic tables in a PostgreSQL of our own, made by SQL alone, the same every time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

#: Column -> what kind of value it is, which is how answers of different types are compared.
KINDS: dict[str, dict[str, str]] = {
    "plain": {
        "id": "int", "municipality": "text", "year": "int", "kind": "int", "sex": "text", "age": "int", "paid": "decimal:2",
        "refund": "decimal:2", "rate": "float", "weight": "float", "start": "date", "stop": "date", "created": "timestamp",
        "updated": "timestamp", "name": "text", "active": "bool",
    },
    "rich": {
        "id": "int", "code": "text", "amount": "decimal:4", "free": "decimal:9", "huge": "decimal:10", "key": "uuid",
        "doc": "json", "tags": "list", "blob": "bytes", "note": "text", "moment": "timestamptz",
    },
}  # fmt: skip

_PLAIN = """
create unlogged table plain as select
  i::int8 as id,
  lpad((301 + i * 7919 % 5000)::text, 4, '0') as municipality,
  (2015 + i % 11)::int4 as year,
  (i % 40)::int2 as kind,
  case when i % 2 = 0 then 'K' else 'M' end as sex,
  case when i % 97 <> 0 then (i * 31 % 100)::int4 end as age,
  (i * 104729 % 100000000 / 100.0)::numeric(12,2) as paid,
  (case when i % 5 = 0 then i * 1299709 % 1000000 / 100.0 end)::numeric(12,2) as refund,
  (i * 15485863 % 1000003) / 1000003.0::float8 as rate,
  case when i % 11 <> 0 then sqrt(i)::float8 end as weight,
  date '1990-01-01' + (i * 48611 % 12000)::int as start,
  case when i % 3 = 0 then date '1990-01-01' + (i * 15013 % 13000)::int end as stop,
  timestamp '2020-01-01' + i * interval '1.000001 second' as created,
  timestamp '2021-01-01' + (i * 7 % 1000000) * interval '1 minute' as updated,
  'name ' || md5((i % 50000)::text) as name,
  i % 7 = 0 as active
from generate_series(1::int8, {rows}::int8) as i
"""
_RICH = """
create unlogged table rich as select
  i::int8 as id,
  ('K' || lpad((i % 9999)::text, 5, '0'))::char(6) as code,
  (i * 104729 % 100000000000 / 10000.0)::numeric(18,4) as amount,
  case when i % 9 <> 0 then (i * 7919 % 1000000007)::numeric / (10 ^ (i % 10))::numeric end::numeric as free,
  (i::numeric * 1234567891011 / 1000.0)::numeric(38,10) as huge,
  md5(i::text)::uuid as key,
  jsonb_build_object('a', i % 100, 'b', md5((i % 1000)::text), 'c', jsonb_build_array(i % 3, null, true)) as doc,
  case when i % 6 <> 0 then array['t' || i % 50, 'u' || i % 7] end as tags,
  decode(md5((i % 7777)::text), 'hex') as blob,
  case when i % 4 = 0 then 'Blåbærsyltetøy ' || i % 1000 end as note,
  timestamptz '2020-01-01 00:00:00+00' + i * interval '7.000003 second' as moment
from generate_series(1::int8, {rows}::int8) as i
"""


def load(server: Any, rows: int, tables: set[str]) -> str:
    """Make the tables that are asked for (``plain_x10`` has ten times the rows) and return the database's URL."""
    url = server.fresh_database()
    database = url.rpartition("/")[2]
    for name in sorted(tables):
        base, _, factor = name.partition("_x")
        statement = {"plain": _PLAIN, "rich": _RICH}[base].format(rows=rows * int(factor or 1))
        server.execute(statement.replace(f"table {base}", f"table {name}"), database)
        server.execute(f"vacuum (freeze, analyze) {name}", database)
    return url
