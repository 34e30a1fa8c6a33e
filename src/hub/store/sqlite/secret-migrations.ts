import type { Migration } from './migrations.ts'

export const secretMigrations: readonly Migration[] = [
  {
    version: 1,
    name: 'secrets',
    sql: `
      CREATE TABLE secrets (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        scope TEXT NOT NULL,
        scope_name TEXT NOT NULL,
        sealed BLOB NOT NULL,
        key_id TEXT NOT NULL,
        created_at TEXT NOT NULL,
        created_by TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        updated_by TEXT NOT NULL,
        PRIMARY KEY (tenant, name, scope, scope_name)
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    version: 2,
    name: 'secrets of users',
    // What a user has made, who is no admin, is theirs from now on.
    sql: `
      CREATE TABLE secrets_of_all (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        scope TEXT NOT NULL,
        scope_name TEXT NOT NULL,
        owner TEXT NOT NULL,
        sealed BLOB NOT NULL,
        key_id TEXT NOT NULL,
        created_at TEXT NOT NULL,
        created_by TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        updated_by TEXT NOT NULL,
        PRIMARY KEY (tenant, name, scope, scope_name, owner)
      ) STRICT, WITHOUT ROWID;
      INSERT INTO secrets_of_all
        SELECT tenant, name, scope, scope_name,
          iif(scope IN ('workflow', 'repository') AND NOT EXISTS (
            SELECT 1 FROM users
            WHERE users.tenant = secrets.tenant AND role = 'admin' AND users.name IN (created_by, updated_by)
          ), created_by, ''),
          sealed, key_id, created_at, created_by, updated_at, updated_by
        FROM secrets;
      DROP TABLE secrets;
      ALTER TABLE secrets_of_all RENAME TO secrets;
    `,
  },
  {
    version: 3,
    name: 'secrets of single runs are found by their run',
    sql: 'CREATE INDEX secrets_by_scope ON secrets (scope, scope_name)',
  },
]
