import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasMark, signal } from '../../platform/process-tree.ts'
import { TailFile } from '../../platform/tail-file.ts'
import { AttemptFolder } from '../attempts/attempt-folder.ts'
import type { Ending } from '../attempts/outcome.ts'
import type { Launch } from '../attempts/start-failure.ts'
import { WrappedProcess } from '../attempts/wrapped-process.ts'
import type { Cage } from '../limits/cage.ts'
import { FileWatch } from './file-watch.ts'
import { InputFile } from './input-file.ts'
import { Wire } from './wire.ts'

export interface AgentProcessOptions {
  /** Made where it is not there. */
  path: string
  mark: string
  /** What the attempt's processes run in. */
  cage: Cage
  /** The attempt's standard error, which the program appends to. */
  stderr: TailFile
  /** It has said something; not told of all that it says. */
  onSaid(): void
  onEnd(ending: Ending): void
}

/** One process of an agent: what it says and what it is told are files, so that both outlive this process. */
export class AgentProcess {
  readonly folder: AttemptFolder
  readonly process: WrappedProcess
  readonly output: TailFile
  readonly wire: Wire
  readonly input: InputFile
  readonly #mark: string
  readonly #stderr: TailFile
  readonly #watch: FileWatch

  constructor({ path, mark, cage, stderr, onSaid, onEnd }: AgentProcessOptions) {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    this.folder = new AttemptFolder(path)
    this.#mark = mark
    this.#stderr = stderr
    this.process = new WrappedProcess({ folder: this.folder, mark, cage, onEnd })
    this.output = new TailFile(join(path, 'wire'))
    this.#watch = new FileWatch(this.output.path, onSaid)
    this.wire = new Wire(this.output)
    this.input = new InputFile(join(path, 'input'))
  }

  begin(launch: Launch, claim: number): number | undefined {
    const file = (name: string) => join(this.folder.path, name)
    const input = { file: file('input'), tail: file('tail') }
    return this.process.begin(launch, claim, { stdoutFd: this.output.fd, stderrFd: this.#stderr.fd, input })
  }

  /** The end of its input: agents take that for a farewell. */
  endInput(): void {
    try {
      const pid = Number.parseInt(readFileSync(join(this.folder.path, 'tail'), 'utf8'), 10)
      // Its number may be another's by now.
      if (pid > 1 && hasMark(pid, this.#mark)) signal(pid, 'SIGTERM')
    } catch {
      // It had not begun: there is nothing that waits for input.
    }
  }

  close(): void {
    this.process.unref()
    this.#watch.close()
    this.output.close()
    this.input.close()
  }
}
