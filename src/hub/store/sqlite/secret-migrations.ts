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
]
