import { botOf } from '../../blueprints/bot.ts'
import type { StartBot } from '../../contract/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { EngineFace } from '../../engine/face.ts'
import { allRuns } from '../retention/run-family.ts'
import type { Uploads } from './uploads.ts'

/** An archive in the request becomes an upload; one that is named must be there. */
export async function uploaded<T extends Pick<StartBot, 'archive' | 'upload' | 'git_url'>>(
  tenant: string,
  { archive, ...request }: T,
  uploads: Uploads,
): Promise<Omit<T, 'archive'>> {
  if (archive !== undefined) {
    if (request.upload !== undefined || request.git_url !== undefined)
      throw new ErrandError('invalid_argument', 'The bot has several archives.', {
        hint: 'Give one of "archive", "upload" and "git_url".',
      })
    return { ...request, upload: (await uploads.putText(tenant, archive)).upload }
  }
  if (request.upload !== undefined) await uploads.use(tenant, request.upload)
  return request
}

/** Paths of those that a run of a bot is made of. */
export async function uploadsInUse(engine: EngineFace, uploads: Uploads): Promise<Set<string>> {
  const used = new Set<string>()
  for await (const { tenant, workflow } of allRuns(engine, { blueprint: 'bot' })) {
    const { source } = botOf(workflow).args
    if (source.mode === 'archive') used.add(uploads.pathOf(tenant, source.upload))
  }
  return used
}
