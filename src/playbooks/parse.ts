import { ErrandError, isErrandError } from '../contract/errors.ts'
import { Playbook, PlaybookStep } from '../contract/tasks/playbook.ts'
import {
  describe,
  type Finding,
  findingsOf,
  safeParse,
  unknownKey,
} from '../engine/workflow-file/issue-messages.ts'
import { asList, asMap, asText, own } from '../engine/workflow-file/loose-values.ts'
import { parseYaml } from '../engine/workflow-file/parse.ts'
import type { Locate } from '../engine/workflow-file/positions.ts'
import { type Problem, Report, sortProblems } from '../engine/workflow-file/problems.ts'
import { globFault, parseCondition } from './condition.ts'

/** Most bytes of a file of playbooks: it is read as a whole, and by people. */
export const MAX_PLAYBOOK_BYTES = 256 * 1024

/** Has `playbooks` unless a problem is an error. */
export interface CheckedPlaybooks {
  playbooks?: Playbook[]
  problems: Problem[]
}

export interface PlaybookSource {
  /** The file's name, or another name for the playbook's origin, as problems show it. */
  file: string
  /**
   * `own`: a playbook, or a list under `playbooks`; `part`: a file with other content, under `playbook` or `playbooks`.
   */
  form?: 'own' | 'part'
}

/**
 * Reads a file of playbooks and reports all mistakes at once, with their positions. A `part` without playbooks gives an
 * empty list.
 */
export function parsePlaybooks(bytes: Uint8Array | string, source: PlaybookSource): CheckedPlaybooks {
  const text = typeof bytes === 'string' ? bytes : textOf(bytes)
  const refused = (message: string, hint: string): CheckedPlaybooks => ({
    problems: [{ severity: 'error', file: source.file, path: '', line: 1, column: 1, message, hint }],
  })
  if (text === undefined) return refused('the file is not valid UTF-8', 'save it as UTF-8')
  if (text.length > MAX_PLAYBOOK_BYTES)
    return refused(
      `the file has more than ${MAX_PLAYBOOK_BYTES / 1024} KiB`,
      'let a step run a script of the repository',
    )
  const { value, locate, problems } = parseYaml(text)
  if (problems.length > 0) return { problems: problems.map((each) => ({ ...each, file: source.file })) }
  return checkPlaybooks(value, { ...source, locate })
}

/** Checks playbooks that are values already, as `parsePlaybooks` does. The result is new, with all defaults. */
export function checkPlaybooks(
  value: unknown,
  { file, form = 'own', locate }: PlaybookSource & { locate?: Locate },
): CheckedPlaybooks {
  const report = new Report(value, { file, locate })
  const playbooks = checkFile(report, value, form)
  return { playbooks: report.failed ? undefined : playbooks, problems: sortProblems(report.problems) }
}

/** Returns the playbooks, or throws `invalid_playbook` with every problem in `details`. */
export function validPlaybooks({ playbooks, problems }: CheckedPlaybooks): Playbook[] {
  if (playbooks) return playbooks
  const errors = problems.filter(({ severity }) => severity === 'error')
  const [first] = errors
  const place = first?.line === undefined ? '' : ` (line ${first.line}, column ${first.column})`
  throw new ErrandError(
    'invalid_playbook',
    `${first?.file ?? 'The playbook'} has ${errors.length === 1 ? 'a mistake' : `${errors.length} mistakes`}: ${first?.message}${place}`,
    { hint: first?.hint, details: { problems } },
  )
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function checkFile(report: Report, value: unknown, form: 'own' | 'part'): Playbook[] {
  const map = asMap(value)
  if (map && own(map, 'playbooks') !== undefined) {
    if (form === 'own' || own(map, 'playbook') !== undefined)
      for (const key of Object.keys(map))
        if (key !== 'playbooks' && (form === 'own' || key === 'playbook'))
          report.add([key], `"${key}" cannot be used together with playbooks`, {
            at: 'key',
            hint: 'move it into one of the playbooks, or remove it',
          })
    if (!Array.isArray(map.playbooks)) {
      report.add(['playbooks'], `playbooks must be a list, but is ${describe(map.playbooks)}`, {
        hint: 'write each playbook after "- ", or a single one under playbook:',
      })
      return []
    }
    return map.playbooks.flatMap((one, index) => checkOne(report.within(['playbooks', index]), one))
  }
  if (form === 'own') return checkOne(report, value)
  const one = own(value, 'playbook')
  return one === undefined ? [] : checkOne(report.within(['playbook']), one)
}

function checkOne(report: Report, value: unknown): Playbook[] {
  if (!asMap(value)) {
    const empty = value === null || value === undefined
    report.add(
      [],
      empty
        ? 'the playbook is empty'
        : `a playbook must be a map of keys and values, but this is ${describe(value)}`,
      { hint: Array.isArray(value) ? 'write name: tests, and the list under steps:' : example },
    )
    return []
  }
  const parsed = safeParse(Playbook, value)
  if (!parsed.success)
    for (const finding of findingsOf(parsed.error.issues, Playbook, value)) report.found(withOwnHint(finding))
  for (const [index, step] of asList(own(value, 'steps')).entries()) {
    checkCondition(report, index, asText(own(step, 'condition')))
    checkGlobs(report, index, own(step, 'artifacts'))
  }
  return parsed.success ? [parsed.data] : []
}

const example = 'begin with name: tests and steps:, and a step: - {name: unit tests, command: npm test}'

function checkCondition(report: Report, index: number, text: string | undefined): void {
  if (text === undefined) return
  try {
    parseCondition(text)
  } catch (error) {
    if (!isErrandError(error)) throw error
    const { column } = error.details as { column: number }
    const at = ['steps', index, 'condition']
    report.say(at, `cannot be read at character ${column}: ${error.message}`, {
      at: column - 1,
      hint: error.hint,
    })
  }
}

function checkGlobs(report: Report, index: number, globs: unknown): void {
  for (const [at, glob] of asList(globs).entries()) {
    if (typeof glob !== 'string') continue
    const path = ['steps', index, 'artifacts', at]
    const fault = globFault(glob)
    if (fault !== undefined)
      report.say(path, `is not a valid glob: ${fault}`, {
        hint: 'a range goes from the lower to the higher character: [a-z]',
      })
    if (glob.startsWith('/') || glob.split('/').includes('..'))
      report.say(path, 'leads outside the repository', {
        hint: 'write it relative to the root of the repository',
      })
  }
}

/** Returns the finding, with a hint for a key of another system. */
function withOwnHint(finding: Finding): Finding {
  const inStep = finding.path[0] === 'steps' && finding.path.length === 3
  if (finding.says !== unknownKey || !(inStep || finding.path.length === 1)) return finding
  const key = String(finding.path.at(-1))
  const word = key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toLowerCase()
  const table = inStep ? insteadInStep : insteadAtTop
  if (Object.hasOwn(table, word)) return { ...finding, hint: table[word] }
  if (!inStep && Object.hasOwn(PlaybookStep.shape, word))
    return { ...finding, hint: `write ${word} in the step` }
  if (inStep && Object.hasOwn(Playbook.shape, word))
    return { ...finding, hint: `write ${word} at the top level` }
  return finding
}

const insteadInStep: Readonly<Record<string, string>> = {
  run: 'write command',
  cmd: 'write command',
  script: 'write command; several lines after |',
  commands: 'write command; several lines after |',
  args: 'write them into command',
  timeout: 'write timeout_seconds',
  timeout_minutes: 'write timeout_seconds, in seconds',
  retry: 'write retry_count: 2, the number of extra tries',
  retries: 'write retry_count, the number of extra tries',
  max_attempts: 'write retry_count, the number of extra tries: one less',
  if: 'write condition',
  when: 'write condition',
  only_if: 'write condition',
  continue_on_error: 'write allow_failure: true, or fail_fast: false if the playbook should fail at its end',
  ignore_errors: 'write allow_failure: true',
  environment: 'write env: {NAME: value}',
  stage: 'write phase: setup, or phase: test',
  commit: 'write commits: true',
  reports: 'write artifacts: ["reports/*.xml"]',
  outputs: 'write artifacts: ["reports/*.xml"]',
  description: 'write it as a comment: # …',
  id: 'write name',
}

const insteadAtTop: Readonly<Record<string, string>> = {
  skill: 'write required_skill',
  skills: 'write required_skill, one in each playbook',
  jobs: 'write steps, a list; a step is {name: …, command: …}',
  tasks: 'write steps, a list; a step is {name: …, command: …}',
  stages: 'write steps; set phase: setup or phase: test in each step',
  version: 'remove it',
  description: 'write it as a comment: # …',
}
