import { mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { withSecrets } from '../../contract/step-secrets.ts'
import type { Masker } from '../masking/masker.ts'

const FILES = 'secret-files'
/** Where the values stand until the attempt's end. */
export const keptIn = (folder: string): string => join(folder, 'secrets')

/** By variable those of the step, by name those of the machine. */
export interface Values {
  step: Readonly<Record<string, string>>
  own: Readonly<Record<string, string>>
}

export interface AttemptSecretsOptions {
  spec: AttemptSpec
  /** The attempt's private folder; made where it is needed and not there. */
  folder: string
  values: Values
  /** Knows them all; undefined: there is nothing to hide. */
  masker: Masker | undefined
}

/** The secrets of one attempt: what its processes are given, and what hides them in all that it puts out. */
export class AttemptSecrets {
  readonly #options: AttemptSecretsOptions

  constructor(options: AttemptSecretsOptions) {
    this.#options = options
  }

  get masker(): Masker | undefined {
    return this.#options.masker
  }

  /** In words, which secrets of the step are not hidden, or not in all forms. */
  get warnings(): string[] {
    const names = Object.keys(this.#options.values.step).map((name) => `Secret "${name}" `)
    return (this.masker?.warnings ?? []).filter((warning) => names.some((name) => warning.startsWith(name)))
  }

  /** The variables that its processes get. */
  get env(): Record<string, string> {
    const { values, spec } = this.#options
    const given = Object.entries(values.step).map(([variable, value]) => [
      variable,
      spec.secrets?.[variable]?.as === 'file' ? this.#file(variable) : value,
    ])
    return Object.fromEntries(given)
  }

  /** The spec with the secrets in its texts and its environment. It is written nowhere. */
  get filledSpec(): AttemptSpec {
    const { spec } = this.#options
    if (spec.secrets === undefined) return spec
    const { env } = this
    return { ...spec, args: withSecrets(spec.args, env), env: { ...spec.env, ...env } }
  }

  /** Writes what is to survive this process. */
  keep(): void {
    if (!this.masker) return
    this.writeFiles()
    writeFileSync(keptIn(this.#options.folder), JSON.stringify(this.#options.values), { mode: 0o600 })
  }

  /** Writes those that are handed over as files. */
  writeFiles(): void {
    const { values, spec, folder } = this.#options
    const inFiles = Object.keys(values.step).filter((variable) => spec.secrets?.[variable]?.as === 'file')
    if (inFiles.length === 0) return
    mkdirSync(join(folder, FILES), { recursive: true, mode: 0o700 })
    for (const variable of inFiles)
      writeFileSync(this.#file(variable), values.step[variable]!, { mode: 0o600 })
  }

  /** Deletes all that `keep` and `writeFiles` wrote. Twice is once. */
  discard(): void {
    if (this.masker) discardSecrets(this.#options.folder)
  }

  #file(variable: string): string {
    return join(this.#options.folder, FILES, variable)
  }
}

/** Deletes the secrets of an attempt, and its folder where nothing else is in it. */
export function discardSecrets(folder: string): void {
  try {
    rmSync(keptIn(folder), { force: true })
    rmSync(join(folder, FILES), { recursive: true, force: true })
    rmdirSync(folder)
  } catch {
    // It holds other things, or was never made.
  }
}
