import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Records which files have passed, for `--only-failed`. Each kind of run has its own record. */
export class LastRun {
  readonly #path: string

  constructor(root: string, kind: 'usual' | 'all') {
    this.#path = join(root, `node_modules/.cache/errand-tests/last-run-${kind}.json`)
  }

  /** Returns the files that passed in the last run; none if the record is missing or damaged. */
  read(): ReadonlySet<string> {
    try {
      const read: unknown = JSON.parse(readFileSync(this.#path, 'utf8'))
      const { passed } = read as { passed: string[] }
      return new Set(passed.filter((file) => typeof file === 'string'))
    } catch {
      return new Set()
    }
  }

  write(passed: Iterable<string>): void {
    mkdirSync(dirname(this.#path), { recursive: true })
    writeFileSync(this.#path, JSON.stringify({ passed: [...passed].sort() }))
  }
}
