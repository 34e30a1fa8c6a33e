import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setting } from '../../config/read-setting.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { pullSecret } from '../../contract/step-secrets.ts'
import { createMasker, type Masker, type NamedSecret } from '../masking/masker.ts'
import { AttemptSecrets, type AttemptSecretsOptions, secretsFile, type Values } from './attempt-secrets.ts'

/** Provides the secrets of this machine's attempts. */
export class MachineSecrets {
  readonly #own: Readonly<Record<string, string>>
  readonly #mountedDir: string
  readonly #maskers = new Maskers()
  /** Cached, since most attempts have no other secrets. */
  readonly #ownMasker: Masker | undefined

  /** Takes `own`: values, by name, that no attempt may put out, besides its own secrets. */
  constructor(own: Readonly<Record<string, string>> = {}, mountedDir = mountedSecretsDir({})) {
    this.#own = own
    this.#mountedDir = mountedDir
    this.#ownMasker = this.#maskerOf({ own, step: {} })
  }

  /** Returns the secrets of a new attempt. Throws `invalid_argument` if one is missing. */
  of(spec: AttemptSpec, provided: Readonly<Record<string, string>>, folder: string): AttemptSecrets {
    const values = { own: this.#own, step: secretValues(spec, provided, this.#mountedDir) }
    const masker = spec.secrets === undefined ? this.#ownMasker : this.#maskerOf(values)
    return this.#secretsOf({ spec, folder, values, masker })
  }

  /**
   * Returns the secrets of an attempt of an earlier process of this runner; undefined if its folder has none, or no
   * longer has any. Throws if they cannot be read.
   */
  restore(spec: AttemptSpec, folder: string): AttemptSecrets | undefined {
    let values: Values
    try {
      values = JSON.parse(readFileSync(secretsFile(folder), 'utf8')) as Values
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    return this.#secretsOf({ spec, folder, values, masker: this.#maskerOf(values) })
  }

  #secretsOf(all: Omit<AttemptSecretsOptions, 'outputMasker'>): AttemptSecrets {
    const { own, step } = all.values
    const { [pullSecret(all.spec) ?? '']: password, ...rest } = step
    const outputMasker = password === undefined ? all.masker : this.#maskerOf({ own, step: rest })
    return new AttemptSecrets({ ...all, outputMasker })
  }

  #maskerOf({ own, step }: Values): Masker | undefined {
    const named = [...Object.entries(own), ...Object.entries(step)]
    return this.#maskers.of(named.map(([name, value]) => ({ name, value })))
  }
}

/** Caches maskers: attempts with the same secrets share one, because the patterns of a secret take memory. */
class Maskers {
  readonly #known = new Map<string, WeakRef<Masker>>()

  /** Returns a masker; undefined if there is nothing to hide. */
  of(secrets: readonly NamedSecret[]): Masker | undefined {
    if (secrets.length === 0) return undefined
    const key = createHash('sha256').update(JSON.stringify(secrets)).digest('base64')
    const known = this.#known.get(key)?.deref()
    if (known) return known
    for (const [old, ref] of this.#known) if (!ref.deref()) this.#known.delete(old)
    const masker = createMasker(secrets)
    this.#known.set(key, new WeakRef(masker))
    return masker
  }
}

/**
 * Collects the values of the spec's secrets, by variable; `given` are those from the hub. Throws `invalid_argument` for
 * a missing one.
 */
export function secretValues(
  spec: Pick<AttemptSpec, 'secrets'>,
  values: Readonly<Record<string, string>>,
  mountedDir: string,
): Record<string, string> {
  const uses = Object.entries(spec.secrets ?? {})
  return Object.fromEntries(
    uses.map(([variable, { from, name }]) => {
      if (from === 'mounted') return [variable, withoutNul(variable, mountedSecret(mountedDir, name))]
      if (Object.hasOwn(values, variable)) return [variable, withoutNul(variable, values[variable]!)]
      throw new ErrandError('invalid_argument', `The step came without the value of the secret ${name}.`)
    }),
  )
}

function withoutNul(variable: string, value: string): string {
  if (!value.includes('\0')) return value
  throw new ErrandError(
    'invalid_argument',
    `The secret ${variable} contains a NUL character, which a variable cannot contain.`,
  )
}

/** Returns the folder of this machine's mounted secrets. */
export const mountedSecretsDir = (env: NodeJS.ProcessEnv): string => setting(env, 'ERRAND_SECRETS_DIR')

/** Reads a secret that is mounted into this machine, without the line break at its end. Throws `invalid_argument`. */
export function mountedSecret(folder: string, name: string): string {
  try {
    return readFileSync(join(folder, name), 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'does not exist' : `could not be read (${message})`
    throw new ErrandError(
      'invalid_argument',
      `The mounted secret ${name} ${why} in ${folder} on this machine.`,
      {
        hint: 'Mount it there, or set ERRAND_SECRETS_DIR to its folder.',
        cause,
      },
    )
  }
}
