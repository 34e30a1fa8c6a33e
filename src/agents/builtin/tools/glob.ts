import { ToolError } from './tool.ts'

const MOST_CHARS = 500

/**
 * A glob as a pattern for paths with `/`: `*`, `?`, `**`, `[a-z]`, `{a,b}`. One without `/` fits a name in any folder.
 * Node's own takes a minute for a number range in braces.
 */
export function globPattern(glob: string): RegExp {
  if (glob.length > MOST_CHARS) throw new ToolError(`The glob is longer than ${MOST_CHARS} characters.`)
  const whole = glob.includes('/') ? glob.replace(/^\.?\/+/, '') : `**/${glob}`
  let inBraces = false
  const source = whole.replace(/\*\*\/|\*+|\?|\[!?[^\]]+\]|[{},]|[\s\S]/g, (part) => {
    if (part === '**/') return '(?:.*/)?'
    if (part === '**') return '.*'
    if (part.startsWith('*')) return '[^/]*'
    if (part === '?') return '[^/]'
    if (part.length > 1) return part.replace(/^\[!/, '[^').replaceAll('\\', '\\\\')
    if (part === '{' && !inBraces) {
      inBraces = true
      return '(?:'
    }
    if (part === '}' && inBraces) {
      inBraces = false
      return ')'
    }
    if (part === ',' && inBraces) return '|'
    return part.replace(/[\\^$.*+?()[\]{}|]/, '\\$&')
  })
  try {
    return new RegExp(`^${source}$`)
  } catch {
    throw new ToolError(`The glob ${glob} cannot be understood.`)
  }
}
