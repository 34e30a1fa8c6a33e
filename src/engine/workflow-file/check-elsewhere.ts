import { passedOnVariables } from '../../contract/names.ts'
import { secretUses } from '../../contract/step-secrets.ts'
import type { Step, Workflow } from '../../contract/workflow.ts'
import { asText, own } from './loose-values.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './problems.ts'
import { knownExports, shellReads } from './variable-uses.ts'

/** Variables that a shell sets itself, and those that Errand gives to each command. */
const always =
  /^(?:ERRAND_\w+|BASH\w*|SH\w*|PWD|OLDPWD|IFS|PS\d|UID|EUID|GROUPS|PPID|RANDOM|SRANDOM|SECONDS|LINENO|EPOCH\w+|OPTARG|OPTIND|HOST\w*|OSTYPE|MACHTYPE|PIPESTATUS|FUNCNAME|DIRSTACK|REPLY|COLUMNS|LINES|_)$/
/** Matches `${NAME:-text}` and the like, where the text says what applies when the variable is not set. */
const hasDefault = /^\$\{[A-Za-z_]\w*:?[-+=?]/
const pathInShell = /(?<![\w./~$}"'-])(\.{1,2}\/[\w.@+-][\w./@+-]*)/g
const shellArgs: Readonly<Record<string, string>> = { 'cmd.run': 'cmd', 'shell.run': 'script' }

/**
 * Warns of what a command has when `errand run` runs it on this machine but lacks on a hub's runner: a variable of your
 * own shell, or a file beside the folder in which you started it. Reports only certain cases: a variable that nothing
 * in the file sets, and a path that no other text of the file names. Expects a valid workflow.
 */
export function checkElsewhere(report: Report, workflow: Workflow): void {
  const { steps, finally: last = [], inputs = {}, env = {} } = workflow
  const all = [...steps, ...last]
  const provided = new Set([
    ...Object.keys(inputs),
    ...Object.keys(env),
    ...all.flatMap((s) => [...knownExports(s)]),
  ])
  // Exports that a program prints, and files of a checkout, are not visible here.
  const seesVariables = !all.some(
    ({ args, action }) => own(args, 'export_vars') === true || action === 'workflow.run',
  )
  const seesFiles =
    workflow.workspace === undefined &&
    !all.some(({ action, args }) => action === 'git.workspace' || /\bgit\s+clone\b/.test(textOf(args)))
  const texts = all.map(({ args }) => textOf(args)).join('\n')
  for (const [list, of] of Object.entries({ steps, finally: last }))
    for (const [index, step] of of.entries()) {
      const path = [list, index, 'args']
      if (seesVariables) warnOfVariables(report, path, step, provided)
      if (seesFiles && step.needs_files === undefined) warnOfPaths(report, path, step, texts)
    }
}

function warnOfVariables(report: Report, path: ValuePath, step: Step, provided: ReadonlySet<string>): void {
  const key = shellArgs[step.action]
  const text = key === undefined ? undefined : asText(own(step.args, key))
  if (text === undefined) return
  const known = new Set<string>([
    ...provided,
    ...passedOnVariables,
    ...Object.keys(step.env ?? {}),
    ...Object.keys(secretUses(step.secrets ?? [])),
    ...Object.keys(step.matrix ?? {}),
    ...(step.foreach === undefined ? [] : ['ITEM']),
  ])
  for (const { name, index } of shellReads(text)) {
    if (known.has(name) || always.test(name) || hasDefault.test(text.slice(index))) continue
    known.add(name)
    report.say([...path, key!], `reads ${name}, which is not set on a runner of a hub`, {
      severity: 'warning',
      at: index,
      hint: `on this machine it comes from your shell; set it as an input, in env, or with --var ${name}=...`,
    })
  }
}

function warnOfPaths(report: Report, path: ValuePath, step: Step, texts: string): void {
  const key = shellArgs[step.action]
  const cwd = asText(own(step.args, 'cwd'))
  const text = key === undefined ? undefined : asText(own(step.args, key))
  if (cwd !== undefined && !cwd.startsWith('/') && !cwd.includes('${')) {
    if (!/^\.?\/?$/.test(cwd) && isNamedOnce(cwd, texts)) warnOfPath(report, [...path, 'cwd'], cwd)
    return
  }
  // An absolute folder has its own files.
  if (cwd !== undefined || text === undefined || /(?:^|[\s;&|(])cd\s/.test(text)) return
  for (const found of text.matchAll(pathInShell))
    if (isNamedOnce(found[1]!, texts)) warnOfPath(report, [...path, key!], found[1]!, found.index)
}

const warnOfPath = (report: Report, path: ValuePath, name: string, at?: number): void =>
  report.say(path, `names ${name}, but the workspace of a run on a hub starts empty`, {
    severity: 'warning',
    at,
    hint: 'on this machine it is in your current folder; check out the repository with workspace, or write the absolute path',
  })

/** Reports whether no other text of the file contains the name: a step that creates the file or folder would. */
function isNamedOnce(path: string, texts: string): boolean {
  const name = path.split('/').findLast((part) => part !== '' && part !== '.')!
  return texts.split(name).length <= 2
}

const textOf = (args: unknown): string => JSON.stringify(args ?? {})
