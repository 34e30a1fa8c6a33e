import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setting } from '../../config/read-setting.ts'
import { ErrandError } from '../../contract/errors.ts'

/** The folder of this machine's mounted secrets. */
export const mountedSecretsDir = (env: NodeJS.ProcessEnv): string => setting(env, 'ERRAND_SECRETS_DIR')

/** A secret that was mounted into this machine, without the line break at its end. Throws `invalid_argument`. */
export function mountedSecret(folder: string, name: string): string {
  try {
    return readFileSync(join(folder, name), 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'is not there' : `could not be read (${message})`
    throw new ErrandError(
      'invalid_argument',
      `The mounted secret ${name} ${why} in ${folder} on this machine.`,
      {
        hint: 'Mount it there, or name the folder that it is in by ERRAND_SECRETS_DIR.',
        cause,
      },
    )
  }
}
