// Package ledger keeps exchange records, and how accounts rest, in a SQLite file: usage.db.
//
// # Who may do what
//
// One goroutine of each process writes, and SQLite's lock orders processes: two detours may share a file, and readers
// (OpenReader) neither wait for a writer nor make it wait. Files are private (0600), in a private folder. No
// prompt, answer, error text or credential is stored, only names, figures and kinds.
//
// # What is never lost, and what may be
//
// Record puts a row into memory and returns. The writer commits all that came within flushAfter as one transaction, so
// a process that is killed loses that much; a machine that loses power loses what its disk had not written, and never
// the file. While the file cannot be written (disk full, folder read-only, another process at it for long) rows wait in
// memory, up to maxQueue of them; further ones are dropped and counted, and the trouble, its end and the
// first loss are logged once. A request never waits.
//
// # Files that cannot be used
//
// A file that is damaged is moved aside as usage.db.damaged-TIME, never deleted, and a new one is begun. A file of a
// newer detour, one that other users may read, and one that cannot be opened are left alone: Open fails, and detour
// serves without a ledger.
package ledger
