import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { findSetting, setting } from '../../config/read-setting.ts'

/** Folder of what Errand keeps for this user. */
export const errandHome = (): string => join(homedir(), '.errand')

/** The hub's data folder: `--data`, ERRAND_DATA, or below the user's own. Seen from this process's folder: what it starts has another. */
export const dataFolder = (given: string | undefined): string =>
  resolve(given ?? setting(process.env, 'ERRAND_DATA') ?? join(errandHome(), 'data'))

/** Paths of what Errand keeps on this machine for itself, and so stands in no sandbox: its data, settings, keys and secrets. */
export function ownPlaces(): string[] {
  const given = (['ERRAND_CONFIG', 'ERRAND_SECRETS_KEY_FILE'] as const).flatMap(
    (key) => findSetting(process.env, key)?.value ?? [],
  )
  const secrets = setting(process.env, 'ERRAND_SECRETS_DIR')
  return [errandHome(), dataFolder(undefined), secrets, ...given].map((path) => resolve(path))
}
