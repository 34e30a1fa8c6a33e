import { resolve } from 'node:path'
import { parseListenAddress } from '../../compat/host-agent/listen-address.ts'
import { setting } from '../../config/read-setting.ts'
import type { ErrandError } from '../../contract/errors.ts'
import { command } from '../command.ts'
import { runnerWorkspace, workspaceOption } from '../commands/runner/runner-enrolment.ts'
import { connection, localHub, savedLogin } from '../connection.ts'
import { exitCodes } from '../exit-codes.ts'
import { dataFolder } from '../local/errand-home.ts'
import { hubOptions } from '../option-values.ts'
import { jsonOption, printJson } from '../print.ts'
import { lineText, palette, usesColor } from '../render/terminal-text.ts'
import { type Check, type CheckContext, type Finding, problem } from './check.ts'
import { environment, hubConfig } from './environment.ts'
import { dataFolders, hubDatabase, secretsKey, staleLocks } from './hub-data.ts'
import {
  cgroups,
  clock,
  codingAgents,
  container,
  descriptors,
  docker,
  git,
  nodeVersion,
  sandbox,
} from './machine.ts'
import { endOrphans, orphans, orphansNow } from './orphans.ts'
import { enrolment, hubPort, hubReach, outsideServices } from './reach.ts'

export const doctor = command({
  summary: 'Find what is missing or wrong on this machine, and how to fix it.',
  options: {
    data: { type: 'string', value: 'DIR', help: 'Data folder (default: ERRAND_DATA, ~/.errand/data)' },
    ...workspaceOption,
    ...hubOptions,
    'end-orphans': {
      type: 'boolean',
      help: 'Only end steps that still run although their runner or its folder is gone',
    },
    ...jsonOption,
  },
  examples: ['errand doctor', 'errand doctor --url http://hub:3000 --json', 'errand doctor --end-orphans'],
  async run({ data, workspace, json, 'end-orphans': ends, ...hub }) {
    const named = [data, workspace].flatMap((each) => (each === undefined ? [] : [resolve(each)]))
    const only = named.length === 0 ? undefined : named
    if (ends) return await endThem(only, json === true)
    const { env } = process
    const place: CheckContext = {
      data: dataFolder(data),
      workspace: runnerWorkspace(workspace, { workspaceDir: setting(env, 'WORKSPACE_DIR') }),
      listen: parseListenAddress(setting(env, 'ERRAND_ADDR')),
      hub: { ...connection(hub), known: isKnown(hub.url, env) },
      env,
      only,
    }
    const found = await Promise.all(
      allChecks.map(async (check) => ({ check: check.name, findings: await run(check, place) })),
    )
    const findings = found.flatMap(({ check, findings }) =>
      findings.map((finding) => ({ check, ...finding })),
    )
    const isOk = findings.every(({ status }) => status !== 'problem')
    if (json) printJson({ ok: isOk, findings, orphans: orphansNow(only) })
    else process.stdout.write(`${findings.map(asText).join('')}\n${summaryOf(findings)}\n`)
    return isOk ? exitCodes.success : exitCodes.failed
  },
})

async function endThem(only: CheckContext['only'], json: boolean): Promise<number> {
  const ended = await endOrphans(only)
  const isOk = ended.every(({ gone }) => gone)
  if (json) printJson({ ok: isOk, ended })
  else {
    for (const { attempt_id = 'of unknown id', processes, gone } of ended) {
      const pids = processes.map(({ pid }) => pid).join(', ')
      const what = gone ? 'was ended' : 'is still partly running'
      process.stdout.write(`${lineText(`Attempt ${attempt_id} ${what}: process ${pids}.`)}\n`)
    }
    process.stdout.write(`Ended: ${ended.filter(({ gone }) => gone).length} of ${ended.length}.\n`)
  }
  return isOk ? exitCodes.success : exitCodes.failed
}

const isKnown = (url: string | undefined, env: NodeJS.ProcessEnv): boolean =>
  [url, setting(env, 'ERRAND_URL'), savedLogin(), localHub()].some((each) => each !== undefined)

/** Runs a check; an error that it throws becomes a finding. */
async function run(check: Check, place: CheckContext): Promise<Finding[]> {
  try {
    return await check.run(place)
  } catch (error) {
    const { message, hint = 'Run it again, or report this as a bug in Errand.' } = error as ErrandError
    return [problem(`The check failed: ${message.replace(/\.$/, '')}.`, hint)]
  }
}

const marks = {
  ok: { text: 'ok', color: 'green' },
  warning: { text: '!!', color: 'yellow' },
  problem: { text: 'XX', color: 'red' },
} as const

function asText({ check, status, message, fix }: Finding & { check: string }): string {
  const paint = palette(usesColor(process.stdout.isTTY ?? false, process.env))
  const { text, color } = marks[status]
  const then = fix === undefined ? '' : `${' '.repeat(16)}${paint('dim', `-> ${lineText(fix)}`)}\n`
  return `${paint(color, text)} ${check.padEnd(12)} ${lineText(message)}\n${then}`
}

function summaryOf(findings: readonly Finding[]): string {
  const count = (status: Finding['status']) => findings.filter((each) => each.status === status).length
  return `Problems: ${count('problem')}, warnings: ${count('warning')}.`
}

/** The checks, in the order in which they are shown. */
const allChecks: readonly Check[] = [
  nodeVersion,
  environment,
  dataFolders,
  staleLocks,
  hubConfig,
  hubDatabase,
  hubPort,
  hubReach,
  outsideServices,
  clock,
  secretsKey,
  enrolment,
  orphans,
  descriptors,
  cgroups,
  docker,
  sandbox,
  container,
  git,
  codingAgents,
]
