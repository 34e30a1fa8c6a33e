import { accountMigrations } from './account-migrations.ts'
import { botDataMigrations } from './bot-data.ts'
import type { Migrations } from './migrations.ts'
import { runMigrations } from './run-migrations.ts'
import { secretMigrations } from './secret-migrations.ts'

/** The form of a hub's database, by its parts. */
export const hubMigrations: Migrations = {
  runs: runMigrations,
  accounts: accountMigrations,
  secrets: secretMigrations,
  bot_data: botDataMigrations,
}
