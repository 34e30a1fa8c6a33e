import { ErrandError, isErrandError } from '../../../contract/errors.ts'
import { ShareCan, type ShareList } from '../../../contract/runs/shares.ts'
import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { lineText } from '../../render/terminal-text.ts'
import { commitNumber, printDiff } from '../run/runs-diff.ts'
import { sessionInputs } from './session-inputs.ts'

/** Lists sessions. `errand agent --continue` takes one of their ids. */
const list = command({
  summary: 'List sessions with agents and their last words, newest first.',
  options: {
    status: {
      type: 'string',
      value: 'STATUS',
      help: 'Only sessions with this status, such as running; several with commas',
    },
    user: { type: 'string', value: 'NAME', help: 'Only sessions of this user; for admins, or with --shared' },
    agent: { type: 'string', value: 'NAME', help: 'Only sessions with this agent' },
    repository: { type: 'string', value: 'NAME', help: 'Only sessions for this repository' },
    text: {
      type: 'string',
      value: 'TEXT',
      help: 'Only sessions with this text in their name, id or last words',
    },
    shared: { type: 'boolean', help: 'Sessions of others that are shared with you' },
    limit: { type: 'string', value: 'N', help: 'Most sessions to list, up to 500; default: 50' },
    cursor: { type: 'string', value: 'CURSOR', help: 'Continue after an earlier page' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand sessions list --status running', 'errand sessions list --shared'],
  async run({ status, user, agent, repository, text, shared, limit, cursor, json, ...hub }) {
    if (limit !== undefined && !/^[1-9]\d{0,2}$/.test(limit))
      throw new UsageError(`--limit is "${limit}"`, 'use a number from 1 to 500')
    const page = await connect(hub).runs.list({
      ...{ blueprint: 'agent', status, owner: user, agent, repository, text, cursor },
      shared: shared ? 'true' : undefined,
      limit: limit === undefined ? undefined : Number(limit),
    })
    if (json) {
      printJson(page)
      return 0
    }
    const rows = page.runs.map((run) => [
      run.run_id,
      run.status,
      run.owner,
      run.session?.agent ?? '',
      cut(run.workflow_name),
      cut(run.session?.last_words ?? ''),
    ])
    printTable(['ID', 'STATUS', 'USER', 'AGENT', 'NAME', 'LAST WORDS'], rows, 'No sessions match.')
    if (page.next_cursor !== undefined) process.stdout.write(`More: --cursor ${page.next_cursor}\n`)
    return 0
  },
})

const MOST = 60
const cut = (text: string): string => {
  const line = lineText(text.replace(/\s+/g, ' '))
  return line.length > MOST ? `${line.slice(0, MOST - 1)}…` : line
}

const withOptions = {
  with: { type: 'string', value: 'NAME', help: 'A user of your tenant' },
  'with-role': {
    type: 'string',
    value: 'ROLE',
    help: 'Instead of one user: all users or all admins (user, admin)',
  },
} as const

/** Returns whom a session is shared with. Throws a usage error unless exactly one of the two is given. */
function sharedWith(values: { with?: string; 'with-role'?: string }): {
  user?: string
  role?: 'admin' | 'user'
} {
  const { with: user, 'with-role': role } = values
  if ((user === undefined) === (role === undefined))
    throw new UsageError('one of --with and --with-role is needed', 'for example --with bob')
  if (role === undefined) return { user }
  if (role === 'admin' || role === 'user') return { role }
  throw new UsageError(`--with-role is "${role}"`, 'use user or admin')
}

function print({ run_id, owner, shares }: ShareList, json: boolean | undefined): number {
  if (json) printJson({ run_id, owner, shares })
  else
    printTable(
      ['WITH', 'CAN', 'BY', 'SINCE'],
      shares.map(({ user, role, can, by, at }) => [user ?? `role ${role}`, can, by, at]),
      `${run_id} is not shared: only ${owner} and admins can see it.`,
    )
  return 0
}

const share = command({
  summary: 'Share a session with others in your tenant: to watch it, or to take part.',
  args: '<run-id>',
  options: {
    ...withOptions,
    can: {
      type: 'string',
      value: 'watch|take-part',
      help: 'take-part lets them prompt and answer too; default: watch',
    },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand sessions share run_0123 --with bob --can take-part',
    'errand sessions share run_0123 --with-role user',
  ],
  async run({ can = 'watch', with: user, 'with-role': role, json, ...hub }, [id]) {
    const rights = ShareCan.safeParse(can)
    if (!rights.success) throw new UsageError(`--can is "${can}"`, 'use watch or take-part')
    const whom = sharedWith({ with: user, 'with-role': role })
    return print(await connect(hub).sessions.share(id!, { ...whom, can: rights.data }), json)
  },
})

const unshare = command({
  summary: 'Stop sharing a session with somebody.',
  args: '<run-id>',
  options: { ...withOptions, ...hubOptions, ...jsonOption },
  examples: ['errand sessions unshare run_0123 --with bob'],
  async run({ with: user, 'with-role': role, json, ...hub }, [id]) {
    const whom = sharedWith({ with: user, 'with-role': role })
    return print(await connect(hub).sessions.unshare(id!, whom), json)
  },
})

const shares = command({
  summary: 'List the users with whom a session is shared.',
  args: '<run-id>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand sessions shares run_0123'],
  async run({ json, ...hub }, [id]) {
    return print(await connect(hub).sessions.shares(id!), json)
  },
})

const files = command({
  summary: 'List a folder of a running session, or print a file of it.',
  args: '<run-id> [path]',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand sessions files run_0123 src', 'errand sessions files run_0123 src/main.ts'],
  async run({ json, ...hub }, [id, path = '']) {
    const { sessions } = connect(hub)
    const folder = await sessions.files(id!, path).catch((error) => {
      // A path that is not a folder may be a file.
      if (path === '' || !isErrandError(error) || error.code !== 'forbidden') throw error
      return undefined
    })
    const found = folder ?? (await sessions.file(id!, path))
    if (json) printJson(found)
    else if ('entries' in found) {
      const rows = found.entries.map(({ name, kind, bytes }) => [
        lineText(kind === 'folder' ? `${name}/` : name),
        bytes === undefined ? '' : String(bytes),
      ])
      printTable(['NAME', 'BYTES'], rows, 'The folder is empty.')
      if (found.more) process.stderr.write('The folder has more entries than are listed.\n')
    } else {
      if (found.binary)
        throw new ErrandError(
          'not_found',
          `"${path}" is a binary file of ${found.bytes} bytes and is not shown.`,
        )
      const text = found.text ?? ''
      process.stdout.write(process.stdout.isTTY ? `${text.split('\n').map(lineText).join('\n')}` : text)
      if (found.cut) process.stderr.write(`Only the beginning of the ${found.bytes} bytes is shown.\n`)
    }
    return 0
  },
})

const diff = command({
  summary: 'Show what a session has changed: in its folder while it runs, then as it was stored.',
  args: '<run-id>',
  options: {
    commit: { type: 'string', value: 'N', help: 'Only this commit, counted from 1' },
    stat: { type: 'boolean', help: 'Only the files, with their added and removed lines' },
    ...hubOptions,
  },
  examples: ['errand sessions diff run_0123 --stat'],
  async run({ commit, stat, ...hub }, [id]) {
    const client = connect(hub)
    const number = commitNumber(commit)
    const { finished_at } = await client.runs.get(id!)
    const bytes =
      finished_at === undefined
        ? await client.sessions.change(id!, { commit: number })
        : await client.runs.diff(id!, { commit: number })
    await printDiff(bytes, stat)
    return 0
  },
})

export const sessions: CommandGroup = {
  summary: 'Show, continue and share sessions with agents on a hub.',
  commands: { list, ...sessionInputs, files, diff, share, unshare, shares },
}
