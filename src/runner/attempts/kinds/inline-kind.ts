import type { Action } from '../../ports.ts'
import { unwritable } from '../attempt-folders.ts'
import type { AttemptServices } from '../attempt-services.ts'
import { InlineAttempt } from '../inline-attempt.ts'
import type { AttemptKind, Order } from './attempt-kind.ts'

/** What this process carries out itself. */
export class InlineKind implements AttemptKind {
  readonly #services: AttemptServices

  constructor(services: AttemptServices) {
    this.#services = services
  }

  start({ spec, epoch, action, secrets }: Order<Extract<Action, { kind: 'inline' }>>): InlineAttempt {
    const { folders, held, workspaces, timeoutGraceMs, outputDir } = this.#services
    const folder = folders.of(spec)
    try {
      secrets.writeFiles()
    } catch (cause) {
      secrets.discard()
      throw unwritable(folder, cause)
    }
    const attempt = new InlineAttempt({
      action,
      spec,
      epoch,
      secrets,
      folder: folder.path,
      cwd: workspaces.path(spec.run_id),
      timeoutGraceMs,
      outputDir,
      onReleased: () => held.forget(attempt),
    })
    held.add(attempt)
    void attempt.begin()
    return attempt
  }
}
