const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const
export type Color = keyof typeof codes
export type Paint = (color: Color, text: string) => string

export const palette = (color: boolean): Paint =>
  color ? (name, text) => (text === '' ? '' : `\x1b[${codes[name]}m${text}\x1b[0m`) : (_, text) => text

export const colorChoices = ['auto', 'always', 'never'] as const
export type ColorChoice = (typeof colorChoices)[number]

/** https://no-color.org; FORCE_COLOR is how programs that read us through a pipe ask for it. What was said by option counts first. */
export function wantsColor(tty: boolean, env: NodeJS.ProcessEnv, choice: ColorChoice = 'auto'): boolean {
  if (choice !== 'auto') return choice === 'always'
  if (env.NO_COLOR) return false
  if (env.FORCE_COLOR && env.FORCE_COLOR !== '0') return true
  return tty && env.TERM !== 'dumb'
}

/** Whether a line can be taken away again. */
export const hasLiveLines = (tty: boolean, env: NodeJS.ProcessEnv): boolean => tty && env.TERM !== 'dumb'
