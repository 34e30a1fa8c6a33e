import { ErrandError } from '../../contract/errors.ts'
import { templateMistakes, variableAt } from './template.ts'
import type { WhenOperand } from './when.ts'

/** `written` is the source text, `column` counts from 1. */
export type WhenToken = { written: string; column: number } & (
  | { type: 'sign' }
  | { type: 'operand'; operand: WhenOperand }
)

const space = /\s+/y
const sign = /&&|\|\||==|!=|>=|<=|[!()<>]/y
const word = /[A-Za-z0-9_.+:/@%,~^*-]+/y
const quoted = /"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/sy

const insteadOf: Readonly<Record<string, string>> = {
  and: '&&',
  or: '||',
  not: '!',
  AND: '&&',
  OR: '||',
  NOT: '!',
}

/** The parts of a `when` expression. Throws as `parseWhen` does. */
export function readWhen(text: string): WhenToken[] {
  const tokens: WhenToken[] = []
  for (let at = 0; at < text.length; ) {
    const start = at
    const read = (pattern: RegExp): RegExpExecArray | null => {
      pattern.lastIndex = start
      const match = pattern.exec(text)
      if (match) at = pattern.lastIndex
      return match
    }
    const push = (operand: WhenOperand): void => {
      const previous = tokens.at(-1)
      if (previous?.type === 'operand' && previous.column - 1 + previous.written.length === start) {
        throw mistake(
          'two values stand side by side',
          start,
          'put the whole text in quotes: "v${MAJOR}.${MINOR}"',
        )
      }
      tokens.push({ type: 'operand', operand, written: text.slice(start, at), column: start + 1 })
    }

    if (read(space)) continue
    const variable = variableAt(text, start)
    if (variable) {
      at = variable.end
      push({ type: 'variable', name: variable.name, fallback: variable.fallback })
      continue
    }
    if (read(sign)) {
      tokens.push({ type: 'sign', written: text.slice(start, at), column: start + 1 })
      continue
    }
    const string = read(quoted)
    if (string) {
      const inner = string[1] ?? string[2] ?? ''
      for (const wrong of templateMistakes(inner))
        throw mistake(wrong.message, start + 1 + wrong.index, wrong.hint)
      push({ type: 'quoted', text: inner.replace(/\\(["'\\])/g, '$1') })
      continue
    }
    const plain = read(word)
    if (!plain) throw unreadable(text, start)
    if (Object.hasOwn(insteadOf, plain[0])) {
      throw mistake(`"${plain[0]}" is not an operator`, start, `write ${insteadOf[plain[0]]}`)
    }
    if (text[at] === '(') throw mistake(`there is no function ${plain[0]}()`, start, functionHint(plain[0]))
    push({ type: 'word', text: plain[0] })
  }
  return tokens
}

export const noPattern =
  'only == and != compare text; cut out what counts with outputs: {NAME: {from: stdout, regex: …}}'

function functionHint(name: string): string {
  if (name === 'success') return 'leave it out: a step runs only where those before it succeeded'
  if (name === 'failure') return 'put the step under finally:, with when: ${ERRAND_RUN_STATUS} == "failed"'
  if (name === 'always') return 'put the step under finally:, whose steps run whatever came before'
  return noPattern
}

function unreadable(text: string, at: number): ErrandError {
  const character = String.fromCodePoint(text.codePointAt(at)!)
  if (character === '"' || character === "'")
    return mistake('a quote is not closed', at, `end the text with ${character}`)
  if (text.startsWith('=~', at)) return mistake('"=~" is not an operator', at, noPattern)
  if (character === '=') return mistake('"=" is not an operator', at, 'write ==')
  if (character === '&' || character === '|') {
    return mistake(`"${character}" is not an operator`, at, `write ${character}${character}`)
  }
  if (character === '$') {
    const [wrong] = templateMistakes(text.slice(at))
    if (wrong?.index === 0) return mistake(wrong.message, at, wrong.hint)
    if (text.startsWith('$(', at))
      return mistake('no command runs here', at, 'run it in a step before, and compare what its outputs take')
    const name = /^\$([A-Za-z_]\w*)/.exec(text.slice(at, at + 130))?.[1] ?? 'NAME'
    return mistake('"$" begins no variable', at, `write \${${name}}`)
  }
  if (character === '{') return mistake('"{" begins no variable', at, 'a variable is written ${NAME}')
  return mistake(`"${character}" is not expected here`, at, 'text stands in quotes')
}

function mistake(message: string, index: number, hint: string): ErrandError {
  return new ErrandError('invalid_workflow', message, { hint, details: { column: index + 1 } })
}
