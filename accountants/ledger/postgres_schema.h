#pragma once
#include <string>

#include "accountants/ledger/postgres_connection.h"

namespace sotto::accountants {

// The tables, indexes, functions and triggers of a ledger in PostgreSQL, and the schema's comment that says it is one.
enum class PostgresPlace { nothing, empty_schema, ledger };

// What is where the connection's location points. Throws data when the schema holds something else, or a ledger of a
// format that this program does not know.
PostgresPlace look_for_ledger(PostgresConnection& connection);

// Inside a transaction: makes the tables where there are none.
void make_postgres_tables(PostgresConnection& connection, PostgresPlace place);

// What differs from the tables, indexes, functions and triggers that make_postgres_tables() makes; empty when nothing
// does.
std::string postgres_difference(PostgresConnection& connection);

}  // namespace sotto::accountants
