import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { PlainName, plainName } from '../../contract/plain-name.ts'
import { parseYaml } from '../../engine/file/parse.ts'
import { formatProblem, type Problem, sortProblems } from '../../engine/file/problem.ts'
import { Report } from '../../engine/file/report.ts'
import { safeParse } from '../../engine/file/safe-parse.ts'
import { findingsOf, unknownKey } from '../../engine/file/sentences.ts'

const Repository = z.strictObject({
  name: plainName(500),
  /** The one runner group that runs for it go to. */
  work_runner_group: PlainName.optional(),
})
const Config = z.strictObject({ repos: z.array(Repository).nullable().optional() })

/** What `errand.yaml` says. */
export interface HubConfig {
  /** Groups by the name of the repository. */
  groups: ReadonlyMap<string, string>
  /** What is not understood, and passed over. */
  warnings: string[]
}

export const NO_CONFIG: HubConfig = { groups: new Map(), warnings: [] }

/** Throws `invalid_argument` with every mistake and its line. Keys that are not known here are warnings. */
export function parseConfig(text: string, file: string): HubConfig {
  const { value = null, locate, problems: faults } = parseYaml(text)
  const problems: Problem[] = faults.map((fault) => ({ ...fault, file }))
  const report = new Report(value, { file, locate, problems })
  const parsed = safeParse(Config, value ?? {})
  if (!parsed.success)
    for (const finding of findingsOf(parsed.error.issues, Config, value)) {
      const [key, complaint] = [finding.path.at(-1), { at: finding.at, hint: finding.hint }]
      if (finding.path.length === 0) report.add([], `the file ${finding.says}`, complaint)
      else if (finding.says !== unknownKey) report.found(finding)
      else
        report.add(finding.path, `unknown key "${key}" is passed over`, { ...complaint, severity: 'warning' })
    }
  const repos = report.failed ? [] : ((value ?? {}) as z.infer<typeof Config>).repos
  const groups = new Map<string, string>()
  for (const [index, { name, work_runner_group: group }] of (repos ?? []).entries()) {
    if (groups.has(name))
      report.add(['repos', index, 'name'], `repository "${name}" stands here a second time`)
    if (group !== undefined) groups.set(name, group)
  }
  if (report.failed) throw refusal(file, problems)
  return { groups, warnings: sortProblems(problems).map(formatProblem) }
}

function refusal(file: string, problems: Problem[]): ErrandError {
  const errors = sortProblems(problems).filter(({ severity }) => severity === 'error')
  const [
    {
      line,
      column,
      message,
      hint = 'Such as: repos: [{name: frontend-app, work_runner_group: frontend-runners}]',
    },
  ] = errors as [Problem]
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  const place = line === undefined ? file : `${file}:${line}:${column}`
  return new ErrandError('invalid_argument', `${place}: ${message}${more}.`, { hint, details: { problems } })
}
