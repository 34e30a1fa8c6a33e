import type { RunStore } from '../../engine/ports.ts'
import type { AccountStore } from '../accounts.ts'
import type { SecretStore } from '../secrets/secret-store.ts'
import type { TaskStore } from '../tasks/task-store.ts'
import {
  sqliteIdempotencyKeys,
  sqliteSeenRunners,
  sqliteSettings,
  sqliteTokens,
  sqliteUsers,
} from './accounts.ts'
import { type BotDataStore, sqliteBotData } from './bot-data.ts'
import { type ChannelStore, sqliteChannels } from './channels.ts'
import { CommitMark } from './commit-mark.ts'
import { openDatabase } from './database.ts'
import { type PersonalStore, sqlitePersonal } from './personal.ts'
import { type PoolSlotStore, sqlitePoolSlots } from './pool-slots.ts'
import { type ProvisionedRunnerStore, sqliteProvisionedRunners } from './provisioned-runners.ts'
import { SqliteRunStore } from './runs.ts'
import { sqliteSecrets } from './secrets.ts'
import { SqlSession } from './session.ts'
import { type StoredArtifactStore, sqliteStoredArtifacts } from './stored-artifacts.ts'
import { SqliteTaskStore } from './tasks.ts'
import { Writer } from './writer.ts'

export interface SqliteStores {
  /** The runs. Closing this store commits what was accepted, and leaves the database open for the accounts. */
  runs: RunStore & Pick<SqliteRunStore, 'outputByUser' | 'withoutRow'>
  accounts: AccountStore
  secrets: SecretStore
  botData: BotDataStore
  tasks: TaskStore
  storedArtifacts: StoredArtifactStore
  poolSlots: PoolSlotStore
  provisionedRunners: ProvisionedRunnerStore
  channels: ChannelStore
  personal: PersonalStore
  /** Number of commits that the database had lost when it was opened, as far as is known. */
  missingCommits: number
  /** Commits what was accepted, then closes the database. May be called twice. */
  close(): void
}

/** Opens all stores. Called by `openSqliteStores`, which loads this file and with it node:sqlite. */
export function openStores(file: string): SqliteStores {
  const db = openDatabase(file)
  const mark = file === ':memory:' ? undefined : new CommitMark(db, file)
  const writer = new Writer(db, file, mark)
  const session = new SqlSession(db, file, writer)
  return {
    runs: new SqliteRunStore(session),
    accounts: {
      ...sqliteUsers(session),
      ...sqliteTokens(session),
      ...sqliteIdempotencyKeys(session),
      ...sqliteSeenRunners(session),
      ...sqliteSettings(session),
    },
    secrets: sqliteSecrets(session),
    botData: sqliteBotData(session),
    tasks: new SqliteTaskStore(session),
    storedArtifacts: sqliteStoredArtifacts(session),
    poolSlots: sqlitePoolSlots(session),
    provisionedRunners: sqliteProvisionedRunners(session),
    channels: sqliteChannels(session),
    personal: sqlitePersonal(session),
    missingCommits: mark?.missing ?? 0,
    close() {
      if (!db.isOpen) return
      writer.flush()
      db.close()
      mark?.close()
    },
  }
}
