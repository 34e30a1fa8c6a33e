import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'

/** Name of the list of what a backup holds; it is written last. */
export const LIST = 'backup.jsonl'
export const DATABASE = 'errand.db'
export const KEY = 'secrets.key'
/** The code of bots: a folder for each tenant, files named by their SHA-256. */
export const UPLOADS = 'uploads'
/** Files of a data folder that are kept as they are, where they are there. */
export const CONFIG_FILES = ['errand.yaml', 'ados.yaml']

/** Everything that a backup may hold: nothing else is ever written into a data folder. */
const KNOWN =
  /^(errand\.db|secrets\.key|errand\.yaml|ados\.yaml|output\/[A-Za-z0-9][\w-]{0,99}\/\d+\.(stdout|stderr)|uploads\/[0-9a-f]{32}\/[0-9a-f]{64})$/

/** The first line of the list. */
export const BackupHead = z.object({
  format: z.literal(1),
  errand: z.string(),
  created_at: z.string(),
  runs: z.number().int(),
  with_key: z.boolean(),
})
export type BackupHead = z.infer<typeof BackupHead>

/** Each further line. */
export const BackupFile = z.object({
  path: z.string().regex(KNOWN),
  bytes: z.number().int(),
  sha256: z.string(),
})
export type BackupFile = z.infer<typeof BackupFile>

export const isKnown = (path: string): boolean => path === LIST || KNOWN.test(path)

export const damaged = (from: string, why: string): ErrandError =>
  new ErrandError('store_failed', `The backup ${from} is damaged: ${why}.`, {
    hint: 'Nothing was restored. Use another backup.',
  })
