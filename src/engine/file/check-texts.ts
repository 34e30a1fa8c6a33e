import { ErrandError } from '../../contract/errors.ts'
import { outputRegex } from '../../contract/workflow.ts'
import { asText, entriesOf, own } from './loose.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './report.ts'
import { templateMistakes } from './template.ts'
import { parseWhen, type WhenAst } from './when.ts'

const maxDepth = 100

/** Every `${` in the texts of a value begins a variable. */
export function checkTemplates(report: Report, path: ValuePath, value: unknown, depth = 0): void {
  if (depth > maxDepth) {
    report.say(path, 'is nested too deeply', { hint: `at most ${maxDepth} levels` })
  } else if (typeof value === 'string') {
    for (const { index, message, hint } of templateMistakes(value))
      report.say(path, `is wrong: ${message}`, { at: index, hint })
  } else if (Array.isArray(value)) {
    for (const [index, inner] of value.entries()) checkTemplates(report, [...path, index], inner, depth + 1)
  } else {
    for (const [key, inner] of entriesOf(value)) checkTemplates(report, [...path, key], inner, depth + 1)
  }
}

export function checkWhen(report: Report, path: ValuePath, when: unknown): void {
  const text = asText(when)
  if (text === undefined) return
  try {
    const bare = bareWord(parseWhen(text))
    if (bare !== undefined)
      report.say(path, `compares no variable: ${bare} is plain text, so it always ends the same`, {
        hint: `a variable is written \${${bare}}`,
        severity: 'warning',
      })
  } catch (error) {
    if (!(error instanceof ErrandError)) throw error
    const column = (error.details as { column: number }).column
    report.say(path, `does not parse: ${error.message} (at character ${column})`, {
      at: column - 1,
      hint: error.hint,
    })
  }
}

/** The first word that looks like a variable's name, in a test or comparison that has no variable. */
function bareWord(ast: WhenAst): string | undefined {
  if (ast.type === 'not') return bareWord(ast.term)
  if ('terms' in ast) {
    for (const term of ast.terms) {
      const found = bareWord(term)
      if (found !== undefined) return found
    }
    return undefined
  }
  const operands = ast.type === 'test' ? [ast.operand] : [ast.left, ast.right]
  if (operands.some((one) => one.type === 'variable' || one.text.includes('${'))) return undefined
  return operands.flatMap((one) =>
    one.type === 'word' && /^(?!(?:true|false)$)[A-Za-z_]\w*$/.test(one.text) ? one.text : [],
  )[0]
}

/** Warns of another system's expressions in a shell's text: the shell reads that as it stands, and knows nothing of them. */
export function checkShellText(report: Report, path: ValuePath, text: unknown): void {
  const found = /\$\{\{\s*([\w.]{1,100})[^}\n]{0,100}\}\}/.exec(asText(text) ?? '')
  if (!found) return
  const [written, names] = found
  const [kind, name = 'NAME'] = names!.split('.')
  const variable = `"$${/^[A-Za-z_]\w*$/.test(name) ? name : 'NAME'}"`
  report.say(path, `has ${written}, which no shell knows`, {
    at: found.index,
    severity: 'warning',
    hint: kind === 'secrets' ? `write ${variable}, and secrets: [${name}] in the step` : `write ${variable}`,
  })
}

/** Regular expressions that outputs are cut out with. */
export function checkOutputs(report: Report, path: ValuePath, outputs: unknown): void {
  for (const [name, source] of entriesOf(outputs)) {
    const regex = asText(own(source, 'regex'))
    if (regex === undefined) continue
    try {
      outputRegex(regex)
    } catch (error) {
      const why = (error as Error).message.replace(/^Invalid regular expression: /, '')
      const hint = 'it is one of JavaScript, with the flags m and u'
      report.say([...path, name, 'regex'], `is no regular expression: ${why}`, { hint })
    }
  }
}
