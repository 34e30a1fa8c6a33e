import { ErrandError } from '../../contract/errors.ts'
import { globPattern, type PathGlob } from '../../platform/path-glob.ts'

/** Not part of anybody's code; a line such as `!node_modules` in .dockerignore takes it in again. */
const ALWAYS = ['**/.git', '**/node_modules', '**/__pycache__', '**/.venv']
/** Each rule is held against each path. */
const MAX_BYTES = 16 * 1024

interface Rule {
  pattern: PathGlob
  skip: boolean
}

/** The paths of a folder that are not packed, by the rules of .dockerignore: the last line that fits a path decides. */
export class SkippedPaths {
  readonly #rules: readonly Rule[]
  readonly #exceptions: boolean
  readonly #keep: readonly string[]

  /** `keep`: paths that are packed whatever the file says. Throws `invalid_argument` for a file that is too long. */
  constructor(dockerignore: string, keep: readonly string[] = []) {
    const bytes = Buffer.byteLength(dockerignore)
    if (bytes > MAX_BYTES)
      throw new ErrandError(
        'invalid_argument',
        `.dockerignore has ${bytes} bytes, and may have ${MAX_BYTES}.`,
        {
          hint: 'Name folders in it, or patterns, in place of single files.',
        },
      )
    const lines = [...ALWAYS, ...dockerignore.split(/\r?\n/)]
    this.#rules = lines.flatMap(ruleOf)
    this.#exceptions = this.#rules.some((rule) => !rule.skip)
    this.#keep = keep
  }

  /** Whether something of a folder is packed, or may be. */
  enters(folder: string): boolean {
    return !this.has(folder) || this.#exceptions || this.#keep.some((path) => path.startsWith(`${folder}/`))
  }

  has(path: string): boolean {
    if (this.#keep.includes(path)) return false
    const parts = path.split('/')
    // A rule for a folder is one for all that is in it.
    const paths = parts.map((_, depth) => parts.slice(0, depth + 1).join('/'))
    return this.#rules.findLast(({ pattern }) => paths.some((each) => pattern.test(each)))?.skip ?? false
  }
}

function ruleOf(text: string): Rule[] {
  const line = text.replace(/^\uFEFF/, '').trim()
  if (line.startsWith('#')) return []
  const skip = !line.startsWith('!')
  const parts = (skip ? line : line.slice(1)).split('/').filter((part) => !['', '.'].includes(part.trim()))
  // Braces are no signs in this file.
  const glob = parts.join('/').replace(/[{},]/g, '\\$&')
  return glob === '' ? [] : [{ pattern: globPattern(glob), skip }]
}
