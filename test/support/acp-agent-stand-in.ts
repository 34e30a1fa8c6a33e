// A stand-in for a coding agent that speaks the Agent Client Protocol. The prompt says what it does, one command a
// line: say TEXT, think TEXT, write PATH, ask PATH, wait FILE, run COMMAND, use INPUT OUTPUT, garbage, fail TEXT, exit
// CODE, hang, chatter COUNT, `attached` (prints what came with the prompt), `model` (prints the current model). If a
// prompt asks in plain words to write or read a file, it asks for permission first, unless STAND_IN_UNASKED names the
// kind (write, read). Its arguments are its abilities: image, text, fork, and a model as model=ID.
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

interface Message {
  id?: number
  method?: string
  params?: Record<string, unknown>
  result?: { outcome?: { outcome: string; optionId?: string } }
}

const log = process.env.STAND_IN_LOG
const note = (text: string) => log !== undefined && appendFileSync(log, `${text}\n`)
const send = (message: object) =>
  void process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
const waiting = new Map<number, (message: Message) => void>()
const can = new Set(process.argv.slice(2))
const models = [...can].flatMap((word) => (word.startsWith('model=') ? [word.slice(6)] : []))
let model = models[0]
let attached: {
  type: string
  mimeType?: string
  data?: string
  resource?: { mimeType?: string; text?: string }
}[] = []
let sessionId = ''
let cwd = process.cwd()
let requestId = 0
let tools = 0
let canceled = false
let usage: object | undefined

const update = (change: object) => send({ method: 'session/update', params: { sessionId, update: change } })
const say = (text: string, kind = 'agent_message_chunk') =>
  update({ sessionUpdate: kind, content: { type: 'text', text } })

async function untilCanceled(condition: () => boolean): Promise<void> {
  while (!condition() && !canceled) await sleep(10)
}

/** Begins the use of a tool. Returns false if it asked for permission and was denied. */
async function begun(tool: { toolCallId: string }, askFirst: boolean): Promise<boolean> {
  update({ sessionUpdate: 'tool_call', ...tool, status: 'pending' })
  if (!askFirst) return true
  const id = 1000 + ++requestId
  const options = [
    { optionId: 'yes', name: 'Yes', kind: 'allow_once' },
    { optionId: 'no', name: 'No', kind: 'reject_once' },
  ]
  const answer = new Promise<Message>((resolve) => waiting.set(id, resolve))
  send({ id, method: 'session/request_permission', params: { sessionId, toolCall: tool, options } })
  const { result } = await answer
  note(`answered ${JSON.stringify(result?.outcome)}`)
  if (result?.outcome?.optionId === 'yes') return true
  update({ sessionUpdate: 'tool_call_update', toolCallId: tool.toolCallId, status: 'failed' })
  return false
}

async function read(path: string, askFirst: boolean): Promise<void> {
  const toolCallId = `tool-${++tools}`
  const file = resolve(cwd, path)
  const tool = { toolCallId, title: `Read ${path}`, kind: 'read', locations: [{ path: file }] }
  if (!(await begun(tool, askFirst))) return
  update({ sessionUpdate: 'tool_call_update', toolCallId, status: 'completed' })
  say(readFileSync(file, 'utf8'))
}

async function write(path: string, askFirst: boolean): Promise<void> {
  const toolCallId = `tool-${++tools}`
  const file = resolve(cwd, path)
  const tool = { toolCallId, title: `Write ${path}`, kind: 'edit', locations: [{ path: file }] }
  if (!(await begun(tool, askFirst))) return
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, 'written\n')
  const content = [{ type: 'diff', path: file, oldText: null, newText: 'written\n' }]
  update({ sessionUpdate: 'tool_call_update', toolCallId, status: 'completed', content })
}

/** Follows a line that asks in plain words to write or read a file. Returns false for any other line. */
async function ask(line: string): Promise<boolean> {
  const [, what, path] = /^(Write|Read) the file (\S+) in this folder/.exec(line) ?? []
  if (what === undefined || path === undefined) return false
  const isAsking = !(process.env.STAND_IN_UNASKED ?? '').includes(what.toLowerCase())
  await (what === 'Write' ? write : read)(path, isAsking)
  return true
}

async function perform(line: string): Promise<void> {
  if (await ask(line)) return
  const [word, ...rest] = line.trim().split(' ')
  const text = rest.join(' ')
  if (word === 'say') say(text)
  else if (word === 'think') say(text, 'agent_thought_chunk')
  else if (word === 'write') await write(text, false)
  else if (word === 'ask') await write(text, true)
  else if (word === 'wait') await untilCanceled(() => existsSync(resolve(cwd, text)))
  else if (word === 'run') spawn('/bin/sh', ['-c', text], { detached: true, stdio: 'ignore' })
  else if (word === 'use')
    usage = { inputTokens: Number(rest[0]), outputTokens: Number(rest[1]), totalTokens: 0 }
  else if (word === 'model') say(`at ${model}`)
  else if (word === 'attached')
    for (const { type, mimeType, data, resource } of attached)
      say(`${type} ${mimeType ?? resource?.mimeType} ${data?.length ?? resource?.text}\n`)
  else if (word === 'garbage') process.stdout.write('}{ no protocol at all\n\u0000\n')
  else if (word === 'exit') {
    process.stderr.write('its last words\n')
    // Sleeps: the last words of an agent that dies must be read first, as usually happens with a real one.
    await sleep(50)
    process.exit(Number(text))
  } else if (word === 'hang') await untilCanceled(() => false)
  else if (word === 'fail') throw new Error(text)
  else if (word === 'chatter') for (let i = 1; i <= Number(text); i++) say(`${i}\n`)
}

async function prompt(id: number, text: string): Promise<void> {
  note(`prompt ${text.split('\n')[0]}`)
  canceled = false
  usage = undefined
  try {
    for (const line of text.split('\n')) if (!canceled) await perform(line)
    send({ id, result: { stopReason: canceled ? 'cancelled' : 'end_turn', ...(usage ? { usage } : {}) } })
  } catch (error) {
    send({ id, error: { code: -32603, message: (error as Error).message } })
  }
}

const capabilities = {
  promptCapabilities: { image: can.has('image'), embeddedContext: can.has('text') },
  ...(can.has('fork') && { sessionCapabilities: { fork: {} } }),
}

function take({ id, method, params = {} }: Message): void {
  if (method === 'initialize')
    send({
      id,
      result: {
        protocolVersion: 1,
        agentCapabilities: { loadSession: true, ...capabilities },
        agentInfo: { version: '9.9' },
      },
    })
  else if (method === 'session/set_model') {
    const modelId = String(params.modelId)
    if (modelId === 'refused') send({ id, error: { code: -32602, message: 'not today' } })
    else {
      model = modelId
      send({ id, result: {} })
    }
  } else if (method === 'session/new' || method === 'session/load' || method === 'session/fork') {
    cwd = String(params.cwd)
    sessionId = method === 'session/load' ? String(params.sessionId) : `session-${process.pid}`
    note(`${method} ${sessionId}${method === 'session/fork' ? ` of ${params.sessionId}` : ''}`)
    const availableModels = models.map((modelId) => ({ modelId, name: `Model ${modelId}` }))
    send({
      id,
      result: { sessionId, ...(models.length > 0 && { models: { currentModelId: model, availableModels } }) },
    })
  } else if (method === 'session/prompt') {
    const parts = params.prompt as ({ text: string } & (typeof attached)[number])[]
    attached = parts.filter(({ type }) => type !== 'text')
    void prompt(id!, parts.flatMap(({ type, text }) => (type === 'text' ? [text] : [])).join(''))
  } else if (method === 'session/cancel') canceled = true
}

note(`begun ${process.pid}`)
if (process.env.STAND_IN_EXITS !== undefined) {
  process.stderr.write(readFileSync('/proc/self/cmdline', 'latin1').length > 0 ? 'no licence\n' : '')
  process.exit(Number(process.env.STAND_IN_EXITS))
}
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const message = JSON.parse(line) as Message
    const answered = message.method === undefined ? waiting.get(message.id ?? 0) : undefined
    if (answered) answered(message)
    else take(message)
  })
  .on('close', () => process.exit(0))
