import { ErrandError } from '../../contract/errors.ts'
import { fillText, type Lookup, type VariableUse, variableValue } from './template.ts'
import { readWhen, type WhenToken } from './when-tokens.ts'

export type Comparison = '==' | '!=' | '>' | '<' | '>=' | '<='
export type WhenOperand =
  | ({ type: 'variable' } & VariableUse)
  /** What stood in quotes; may hold variables. */
  | { type: 'quoted'; text: string }
  | { type: 'word'; text: string }
export type WhenAst =
  | { type: 'or' | 'and'; terms: WhenAst[] }
  | { type: 'not'; term: WhenAst }
  | { type: 'compare'; operator: Comparison; left: WhenOperand; right: WhenOperand }
  | { type: 'test'; operand: WhenOperand }

const maxDepth = 100
const maxLength = 10_000

/** Throws `invalid_workflow`; `details.column` is where, from 1, within the expression. */
export function parseWhen(text: string): WhenAst {
  if (text.length > maxLength) {
    throw new ErrandError('invalid_workflow', `the expression has ${text.length} characters`, {
      hint: `at most ${maxLength} are possible`,
      details: { column: 1 },
    })
  }
  return new Parser(readWhen(text), text.length).whole()
}

/** Throws `unset_variable`, and `invalid_argument` where what is compared by size is no number. */
export function evaluateWhen(ast: WhenAst, lookup: Lookup): boolean {
  const value = (operand: WhenOperand): string => {
    if (operand.type === 'variable') return variableValue(operand, lookup)
    return operand.type === 'quoted' ? fillText(operand.text, lookup) : operand.text
  }
  const holds = (node: WhenAst): boolean => {
    switch (node.type) {
      case 'or':
        return node.terms.some(holds)
      case 'and':
        return node.terms.every(holds)
      case 'not':
        return !holds(node.term)
      case 'test':
        return !['', 'false', '0'].includes(value(node.operand))
      case 'compare': {
        const quoted = node.left.type === 'quoted' || node.right.type === 'quoted'
        return compare(node.operator, value(node.left), value(node.right), quoted)
      }
    }
  }
  return holds(ast)
}

const numeric = /^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$/
const whole = /^\s*-?\d+\s*$/

/** Quotes make equality one of text: "1.10" is not "1.1". */
function compare(operator: Comparison, left: string, right: string, quoted: boolean): boolean {
  const numbers = numeric.test(left) && numeric.test(right)
  if (operator === '==' || operator === '!=') {
    const same = left === right || (numbers && !quoted && order(left, right) === 0)
    return same === (operator === '==')
  }
  if (!numbers) {
    const which = numeric.test(left) ? right : left
    throw new ErrandError(
      'invalid_argument',
      `"${which.slice(0, 100)}" is not a number, so "${operator}" cannot compare it.`,
      { hint: 'Compare text with == or !=.' },
    )
  }
  const by = order(left, right)
  if (operator === '>') return by > 0
  if (operator === '<') return by < 0
  return operator === '>=' ? by >= 0 : by <= 0
}

/** Whole numbers are compared exactly, however long. */
function order(left: string, right: string): number {
  if (!whole.test(left) || !whole.test(right)) return Math.sign(Number(left) - Number(right))
  const difference = BigInt(left.trim()) - BigInt(right.trim())
  return difference === 0n ? 0 : difference > 0n ? 1 : -1
}

class Parser {
  readonly #tokens: readonly WhenToken[]
  readonly #length: number
  #at = 0
  #depth = 0

  constructor(tokens: readonly WhenToken[], length: number) {
    this.#tokens = tokens
    this.#length = length
  }

  whole(): WhenAst {
    if (this.#tokens.length === 0)
      throw this.#mistake(
        'the expression is empty',
        'write one, such as ${OK} == "true", or leave "when" out',
      )
    const ast = this.#either()
    const rest = this.#tokens[this.#at]
    if (rest?.type === 'operand') {
      throw this.#mistake(
        `expected && or || before ${rest.written}`,
        'text of several words stands in quotes',
      )
    }
    if (rest) throw this.#mistake(`${rest.written} is not expected here`, comparisonHint(rest.written))
    return ast
  }

  #either(): WhenAst {
    return this.#joined('or', '||', () => this.#joined('and', '&&', () => this.#negated()))
  }

  #joined(type: 'or' | 'and', sign: string, part: () => WhenAst): WhenAst {
    const terms = [part()]
    while (this.#take(sign)) terms.push(part())
    return terms.length === 1 ? terms[0]! : { type, terms }
  }

  #negated(): WhenAst {
    if (++this.#depth > maxDepth)
      throw this.#mistake('the expression is nested too deeply', `at most ${maxDepth} levels`)
    try {
      if (this.#take('!')) return { type: 'not', term: this.#negated() }
      if (!this.#take('(')) return this.#comparison()
      const inner = this.#either()
      if (!this.#take(')')) throw this.#mistake('a ")" is missing', 'close the parenthesis')
      return inner
    } finally {
      this.#depth--
    }
  }

  #comparison(): WhenAst {
    const left = this.#operand()
    const sign = this.#tokens[this.#at]
    if (sign?.type !== 'sign' || !/^([=!<>]=|[<>])$/.test(sign.written))
      return { type: 'test', operand: left }
    this.#at++
    const operator = sign.written as Comparison
    const rightAt = this.#at
    const right = this.#operand()
    if (operator !== '==' && operator !== '!=') {
      this.#mustBeNumber(left, operator, rightAt - 2)
      this.#mustBeNumber(right, operator, rightAt)
    }
    return { type: 'compare', operator, left, right }
  }

  #mustBeNumber(operand: WhenOperand, operator: string, at: number): void {
    if (operand.type === 'variable' || operand.text.includes('${') || numeric.test(operand.text)) return
    this.#at = at
    throw this.#mistake(
      `"${operator}" compares numbers, and ${this.#tokens[at]!.written} is none`,
      'compare text with == or !=',
    )
  }

  #operand(): WhenOperand {
    const token = this.#tokens[this.#at]
    if (token?.type === 'operand') {
      this.#at++
      return token.operand
    }
    const found = token ? `found ${token.written}` : 'the expression ends'
    throw this.#mistake(`expected a value, but ${found}`, 'a value is ${VAR}, "text", a number or a word')
  }

  #take(sign: string): boolean {
    const token = this.#tokens[this.#at]
    if (token?.type !== 'sign' || token.written !== sign) return false
    this.#at++
    return true
  }

  #mistake(message: string, hint?: string): ErrandError {
    const column = this.#tokens[this.#at]?.column ?? this.#length + 1
    return new ErrandError('invalid_workflow', message, { hint, details: { column } })
  }
}

function comparisonHint(written: string): string {
  return /^([=!<>]=|[<>])$/.test(written) ? 'join comparisons with && or ||' : 'check the parentheses'
}
