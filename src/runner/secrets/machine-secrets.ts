import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setting } from '../../config/read-setting.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { pullSecret } from '../../contract/step-secrets.ts'
import { createMasker, type Masker, type NamedSecret } from '../masking/masker.ts'
import { AttemptSecrets, type AttemptSecretsOptions, keptIn, type Values } from './attempt-secrets.ts'

/** Hands out the secrets of this machine's attempts. */
export class MachineSecrets {
  readonly #own: Readonly<Record<string, string>>
  readonly #mountedDir: string
  readonly #maskers = new Maskers()
  /** Most attempts have no others: kept, so that it need not be made for each. */
  readonly #ownMasker: Masker | undefined

  /** `own`: what no attempt may put out, beside its own secrets, by name. */
  constructor(own: Readonly<Record<string, string>> = {}, mountedDir = mountedSecretsDir({})) {
    this.#own = own
    this.#mountedDir = mountedDir
    this.#ownMasker = this.#maskerOf({ own, step: {} })
  }

  /** For an attempt that is begun. Throws `invalid_argument` where one of its secrets is missing. */
  of(spec: AttemptSpec, given: Readonly<Record<string, string>>, folder: string): AttemptSecrets {
    const values = { own: this.#own, step: secretValues(spec, given, this.#mountedDir) }
    const masker = spec.secrets === undefined ? this.#ownMasker : this.#maskerOf(values)
    return this.#secretsOf({ spec, folder, values, masker })
  }

  /**
   * For one of an earlier process of this runner; undefined where its folder has none, or none any more. Throws where
   * they cannot be read.
   */
  recall(spec: AttemptSpec, folder: string): AttemptSecrets | undefined {
    let values: Values
    try {
      values = JSON.parse(readFileSync(keptIn(folder), 'utf8')) as Values
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    return this.#secretsOf({ spec, folder, values, masker: this.#maskerOf(values) })
  }

  #secretsOf(all: Omit<AttemptSecretsOptions, 'outputMasker'>): AttemptSecrets {
    const { own, step } = all.values
    const { [pullSecret(all.spec) ?? '']: password, ...given } = step
    const outputMasker = password === undefined ? all.masker : this.#maskerOf({ own, step: given })
    return new AttemptSecrets({ ...all, outputMasker })
  }

  #maskerOf({ own, step }: Values): Masker | undefined {
    const named = [...Object.entries(own), ...Object.entries(step)]
    return this.#maskers.of(named.map(([name, value]) => ({ name, value })))
  }
}

/** Maskers of this machine: attempts with the same secrets share one, for the patterns of a secret take memory. */
class Maskers {
  readonly #known = new Map<string, WeakRef<Masker>>()

  /** Undefined where there is nothing to hide. */
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

/** Values of the spec's secrets, by variable; `given` are those of the hub. Throws `invalid_argument` for one that is missing. */
export function secretValues(
  spec: Pick<AttemptSpec, 'secrets'>,
  given: Readonly<Record<string, string>>,
  mountedDir: string,
): Record<string, string> {
  const uses = Object.entries(spec.secrets ?? {})
  return Object.fromEntries(
    uses.map(([variable, { from, name }]) => {
      if (from === 'mounted') return [variable, withoutNul(variable, mountedSecret(mountedDir, name))]
      if (Object.hasOwn(given, variable)) return [variable, withoutNul(variable, given[variable]!)]
      throw new ErrandError('invalid_argument', `The value of the secret ${name} has not come with the step.`)
    }),
  )
}

function withoutNul(variable: string, value: string): string {
  if (!value.includes('\0')) return value
  throw new ErrandError('invalid_argument', `The secret ${variable} holds a NUL, which no variable can hold.`)
}

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
