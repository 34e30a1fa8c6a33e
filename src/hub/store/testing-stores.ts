import path from 'node:path'
import type { RunStore } from '../../engine/ports.ts'
import { FileRunStore } from './file.ts'
import { openSqliteRunStore } from './open-sqlite.ts'

/** The durable stores as the tests open them, kept in a folder. */
export const openTestStore = async (kind: 'sqlite' | 'file', dir: string): Promise<RunStore> =>
  kind === 'sqlite'
    ? openSqliteRunStore({ file: path.join(dir, 'errand.db') })
    : new FileRunStore({ dir: path.join(dir, 'runs') })
