import { homedir } from 'node:os'
import { join } from 'node:path'
import { setting } from '../../config/read-setting.ts'

/** Folder of what Errand keeps for this user. */
export const errandHome = (): string => join(homedir(), '.errand')

/** The hub's data folder: `--data`, ERRAND_DATA, or below the user's own. */
export const dataFolder = (given: string | undefined): string =>
  given ?? setting(process.env, 'ERRAND_DATA') ?? join(errandHome(), 'data')
