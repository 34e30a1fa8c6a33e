import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { findSetting, setting } from '../../config/read-setting.ts'

/** Returns the folder in which Errand stores data of this user. */
export const errandHome = (): string => join(homedir(), '.errand')

/** Returns the hub's data folder as an absolute path: `--data`, else ERRAND_DATA, else one below the user's folder. */
export const dataFolder = (folder: string | undefined): string =>
  resolve(folder ?? setting(process.env, 'ERRAND_DATA') ?? join(errandHome(), 'data'))

/** Returns the paths of Errand's own data, settings, keys and secrets on this machine, which no sandbox contains. */
export function ownPlaces(): string[] {
  const overrides = (['ERRAND_CONFIG', 'ERRAND_SECRETS_KEY_FILE'] as const).flatMap(
    (key) => findSetting(process.env, key)?.value ?? [],
  )
  const secrets = setting(process.env, 'ERRAND_SECRETS_DIR')
  return [errandHome(), dataFolder(undefined), secrets, ...overrides].map((path) => resolve(path))
}
