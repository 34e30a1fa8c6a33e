const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const
export type Color = keyof typeof codes
export type Paint = (color: Color, text: string) => string

export const palette = (color: boolean): Paint =>
  color ? (name, text) => (text === '' ? '' : `\x1b[${codes[name]}m${text}\x1b[0m`) : (_, text) => text

/** https://no-color.org; FORCE_COLOR is how programs that read us through a pipe ask for it. */
export function wantsColor(tty: boolean, env: NodeJS.ProcessEnv): boolean {
  if (env.NO_COLOR) return false
  if (env.FORCE_COLOR && env.FORCE_COLOR !== '0') return true
  return tty && env.TERM !== 'dumb'
}
