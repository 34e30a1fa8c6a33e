import { ErrandError } from '../../contract/errors.ts'
import { nearest } from './hints/did-you-mean.ts'

/** The values for the variables of a text. */
export interface Lookup {
  get(name: string): string | undefined
  /** Names of the variables that are set, for suggestions. */
  names(): Iterable<string>
}

export const lookupIn = (values: Readonly<Record<string, string>>): Lookup => ({
  get: (name) => (Object.hasOwn(values, name) ? values[name] : undefined),
  names: () => Object.keys(values),
})

const variable = String.raw`\$\{([A-Za-z_][A-Za-z0-9_]{0,127})(?::-((?:[^}$]|\$(?!\{))*))?\}`
const anywhere = new RegExp(String.raw`\$\$\{|${variable}`, 'g')
const atIndex = new RegExp(variable, 'y')
const withMistakes = new RegExp(String.raw`\$\$\{|${variable}|\$\{`, 'g')

/**
 * Fills in a text with variables: `${VAR}`, `${VAR:-default}` (used when VAR is unset or empty), and `$${` for a plain
 * `${`. Any other `$` is literal. Filled-in values are not expanded again. Throws `unset_variable`.
 */
export function fillText(text: string, lookup: Lookup): string {
  if (!text.includes('${')) return text
  return text.replace(anywhere, (match, name: string | undefined, fallback: string | undefined) =>
    name === undefined ? match.slice(1) : variableValue({ name, fallback }, lookup),
  )
}

/** Fills in every text in `args`, at any depth; arguments named by `rawKeys` stay as written. */
export function fillArgs(
  args: Readonly<Record<string, unknown>>,
  rawKeys: readonly string[],
  lookup: Lookup,
): Record<string, unknown> {
  const fill = (value: unknown): unknown => {
    if (typeof value === 'string') return fillText(value, lookup)
    if (Array.isArray(value)) return value.map(fill)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fill(inner)]))
  }
  return Object.fromEntries(
    Object.entries(args).map(([key, value]) => [key, rawKeys.includes(key) ? value : fill(value)]),
  )
}

export interface VariableUse {
  name: string
  fallback?: string
}

/** Returns the value of one `${…}`. Throws `unset_variable`. */
export function variableValue(use: VariableUse, lookup: Lookup): string {
  const value = lookup.get(use.name)
  if (use.fallback !== undefined) return value === undefined || value === '' ? use.fallback : value
  if (value !== undefined) return value
  const near = nearest(use.name, lookup.names())
  throw new ErrandError('unset_variable', `Variable "${use.name}" is not set.`, {
    hint: near
      ? `Did you mean "${near}"?`
      : `Set it first, or write \${${use.name}:-} to allow an empty value.`,
    details: { name: use.name },
  })
}

/** Parses the `${…}` that begins at `index`, and finds its end. */
export function variableAt(text: string, index: number): (VariableUse & { end: number }) | undefined {
  atIndex.lastIndex = index
  const match = atIndex.exec(text)
  return match ? { name: match[1]!, fallback: match[2], end: atIndex.lastIndex } : undefined
}

/** Returns each variable that a text uses, with the index of its `${`, from 0. */
export function variableUses(text: string): { name: string; index: number }[] {
  if (!text.includes('${')) return []
  return [...text.matchAll(anywhere)].flatMap(({ 1: name, index }) =>
    name === undefined ? [] : { name, index },
  )
}

export interface TemplateMistake {
  /** Index of its `${`, from 0. */
  index: number
  message: string
  hint: string
}

const maxMistakes = 20

/** Suggests `${NAME}` for `${{ env.NAME }}`, `${ NAME }` and `${steps.a.outputs.NAME}`, as other systems write it. */
function meant(written: string): string | undefined {
  const name = /^\$\{\{?\s*(?:[\w-]+\.)*([A-Za-z_]\w*)\s*\}/.exec(written)?.[1]
  return name && `\${${name}}`
}

/** Returns the first twenty `${` that do not begin a variable. */
export function templateMistakes(text: string): TemplateMistake[] {
  if (!text.includes('${')) return []
  const mistakes: TemplateMistake[] = []
  for (const match of text.matchAll(withMistakes)) {
    if (match[0] !== '${') continue
    if (mistakes.length === maxMistakes) break
    const rest = text.slice(match.index, match.index + 60)
    const written = /^\$\{(?:\{[^}\n]*\}\}|[^}\n]*\}?)/.exec(rest)?.[0] ?? rest
    const nested = /^\$\{[A-Za-z_]\w*:-[^}]*\$\{/.test(rest)
    mistakes.push({
      index: match.index,
      message: nested
        ? `"${written}" has a variable inside its default, which is not supported`
        : `"${written}" is not a variable`,
      hint: `write ${meant(written) ?? '${NAME} or ${NAME:-default}'}; for a literal "\${" write "$\${"`,
    })
  }
  return mistakes
}
