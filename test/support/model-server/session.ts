import type { Answer } from './answer.ts'
import type { ModelRequest } from './request.ts'
import type { Script, Turn } from './script.ts'
import { chooseTool } from './tool-choice.ts'

export interface Session {
  script: Script
  /** The number of requests answered from the script so far. */
  index: number
}

/** Tells conversations apart by their key or, if only the model has a script, by the model. */
export class Sessions {
  #scripts: { script?: Script; scriptFor?: (name: string) => Script | undefined }
  #sessions = new Map<string, Session>()

  constructor(scripts: { script?: Script; scriptFor?: (name: string) => Script | undefined }) {
    this.#scripts = scripts
  }

  of(key: string, model: string): Session {
    const { script = [], scriptFor } = this.#scripts
    const byKey = scriptFor?.(key)
    const own = byKey ?? scriptFor?.(model)
    const name = byKey === undefined && own !== undefined ? `model ${model}` : `key ${key}`
    let session = this.#sessions.get(name)
    if (session === undefined) {
      session = { script: own ?? script, index: 0 }
      this.#sessions.set(name, session)
    }
    return session
  }
}

export async function turnOf(script: Script, request: ModelRequest): Promise<Turn> {
  if (typeof script === 'function') return await script(request)
  return script[request.index] ?? { text: 'Done.' }
}

export function answerOf(turn: Turn, request: ModelRequest): Answer {
  const { thought = '', text = '', toolCalls = [], usage, stop = 'through' } = turn
  const { number } = request
  return {
    number,
    thought,
    text,
    calls: toolCalls.map((wish, index) => ({
      id: `call_${number}_${index}`,
      ...chooseTool(wish, request.tools),
    })),
    usage: { input: 100, cached: 0, output: 10, ...usage },
    stop,
  }
}
