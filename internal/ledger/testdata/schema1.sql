-- A ledger as detour wrote it before it estimated credits.
PRAGMA auto_vacuum = 2;
BEGIN TRANSACTION;
CREATE TABLE account_state (
  account TEXT NOT NULL,
  scope   TEXT NOT NULL, -- 'account', 'premium' or 'model'
  model   TEXT NOT NULL,
  kind    TEXT NOT NULL,
  until   INTEGER NOT NULL, -- Unix milliseconds
  PRIMARY KEY (account, scope, model)
) WITHOUT ROWID;
INSERT INTO "account_state" VALUES('work','account','','quota',4102444800000);
CREATE TABLE allowance ( -- what the upstream said last
  account TEXT PRIMARY KEY,
  at      INTEGER NOT NULL,
  used    REAL NOT NULL,
  left    REAL NOT NULL,
  resets  INTEGER NOT NULL -- Unix milliseconds, 0 when it did not say
) WITHOUT ROWID;
INSERT INTO "allowance" VALUES('work',1793534400000,100.5,199.5,0);
CREATE TABLE exchange (
  id              INTEGER PRIMARY KEY,
  exchange        TEXT NOT NULL,    -- its id in the log
  at              INTEGER NOT NULL, -- when it began, in Unix milliseconds
  door            TEXT NOT NULL,
  client          TEXT NOT NULL,    -- name of the client key, '' for none
  host            TEXT NOT NULL,    -- that the client called, '' on the API door
  method          TEXT NOT NULL,
  path            TEXT NOT NULL,
  proto           TEXT NOT NULL,
  transport       TEXT NOT NULL,    -- 'websocket', or '' for an HTTP request
  endpoint        TEXT NOT NULL,    -- what the client called
  dialect         TEXT NOT NULL,    -- the client's
  upstream        TEXT NOT NULL,    -- the endpoint that was called upstream, '' for none
  mode            TEXT NOT NULL,
  requested_model TEXT NOT NULL,
  model           TEXT NOT NULL,
  provider        TEXT NOT NULL,
  account         TEXT NOT NULL,
  initiator       TEXT NOT NULL,
  stream          INTEGER NOT NULL,
  status          INTEGER NOT NULL,
  error           TEXT NOT NULL,    -- kind, '' for none
  attempts        INTEGER NOT NULL,
  tries           TEXT NOT NULL,    -- attempts as JSON, '' for one that went well
  first_byte_us   INTEGER NOT NULL,
  total_us        INTEGER NOT NULL,
  reported        INTEGER NOT NULL, -- whether the upstream gave the tokens; else they are 0 and unknown
  tokens_in       INTEGER NOT NULL,
  cache_read      INTEGER NOT NULL,
  cache_write     INTEGER NOT NULL,
  tokens_out      INTEGER NOT NULL,
  reasoning       INTEGER NOT NULL, -- part of tokens_out
  nano_aiu        INTEGER,          -- price that the upstream named, in 1e-9 credits; NULL for none
  premium         REAL NOT NULL,    -- premium requests, estimated
  premium_used    REAL,             -- of the account's period, as the upstream counts; NULL when it did not say
  premium_left    REAL
);
INSERT INTO "exchange" VALUES(1,'x-1',1793534400000,'api','laptop','','POST','/v1/chat/completions','HTTP/1.1','','chat','chat','chat','route','gpt','gpt-5','github-copilot','work','user',1,200,'',0,'',1000,1000000,1,10,5,2,7,3,NULL,1.5,100.5,199.5);
INSERT INTO "exchange" VALUES(2,'x-2',1793534400000,'api','laptop','','POST','/v1/chat/completions','HTTP/1.1','','chat','chat','chat','route','gpt','gpt-5','github-copilot','home','user',1,200,'',0,'',1000,1000000,1,10,5,2,7,3,2500000000,0.0,NULL,NULL);
CREATE INDEX exchange_at ON exchange (at);
CREATE INDEX exchange_account ON exchange (account, at);
CREATE INDEX exchange_client ON exchange (client, at);
COMMIT;
PRAGMA user_version = 1;
