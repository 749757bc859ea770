#pragma once

// The accountants for programs that are not C++: JSON in, JSON out, no state. python/sotto/accounting is made of it.
// Texts are UTF-8 and end with a zero.
extern "C" {

// The text of a call: its answer, or where the call does not return 0 a message that says what is wrong, where, and
// what the limit is: the same that `sotto account` prints. Free it with sotto_accounting_free.
// 1: the call itself is wrong or out of memory; 2: a value or the plan is refused; 3: internal.
//
// A question is an object with `verb`:
//   "accountants"  → {"accountants": [names]}
//   "supports"     accountant, relation, events → {"supports": true} or {"supports": false, "reason": text}
//   "epsilon"      accountant, relation, events, delta, gap → {"epsilon", "epsilon_lower", "gap_met"}, infinity as null
//   "delta"        accountant, relation, events, epsilon, gap → {"delta", "delta_lower", "gap_met"}
// `events` is what accountants/event_list.h reads, or [] for nothing; `relation` is add_remove, replace_one or
// zero_out; `gap` the relative width that "pld" aims for, and gap_met whether the bracket is that narrow; null for
// others.
int sotto_accounting_ask(const char* question, char** text);

// A value of the plan's parameter → its events, or a null pointer where the caller has failed and wants to stop. The
// text must live until the next call.
typedef const char* (*sotto_accounting_plan)(double value, void* context);

// The cheapest parameter's end that a budget allows. The question: accountant, relation, epsilon, delta, `first` and
// `second`, `explicit` (true: the interval between them; false: from first on, past second as far as it takes),
// `whole` (whole numbers only), `tolerance` (absolute, or null for 1e-4 relative). Whether ε grows or falls with the
// value is found out. → {"value", "epsilon", "refused", "refused_lower"}
int sotto_accounting_calibrate(const char* question, sotto_accounting_plan plan, void* context, char** text);

void sotto_accounting_free(char* text);
}
