/**
 * A glob as a regular expression for whole paths: `*` and `?` within one name, `**` over folders, `[…]`, `{a,b}`.
 * Names that begin with a dot are names like others. A glob that ends with `/` is all below that folder.
 */
export function globPattern(glob: string): RegExp {
  const whole = glob.endsWith('/') ? `${glob}**` : glob
  let source = ''
  let depth = 0
  for (let at = 0; at < whole.length; at++) {
    const rest = whole.slice(at)
    const character = whole[at]!
    const set = /^\[(!?)([^\]/]+)\]/.exec(rest)
    if (rest.startsWith('**/') && (at === 0 || whole[at - 1] === '/')) {
      source += '(?:[^/]+/)*'
      at += 2
    } else if (rest.startsWith('**')) {
      source += '.*'
      at += 1
    } else if (character === '*') source += '[^/]*'
    else if (character === '?') source += '[^/]'
    else if (set) {
      source += `[${set[1] ? '^/' : ''}${set[2]!.replace(/[\\^[\]&~|]/g, '\\$&')}]`
      at += set[0].length - 1
    } else if (character === '{' && rest.includes('}')) {
      source += '(?:'
      depth++
    } else if (character === '}' && depth > 0) {
      source += ')'
      depth--
    } else if (character === ',' && depth > 0) source += '|'
    else if (character === '\\' && at + 1 < whole.length) source += escaped(whole[++at]!)
    else source += escaped(character)
  }
  return new RegExp(`^${source}${')'.repeat(depth)}$`, 'su')
}

const escaped = (character: string) => character.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
