import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef } from 'react'
import { meQuery } from '../../data/session.ts'
import { LinkToShare } from './link-to-share.tsx'

interface Props {
  link: string
  owner: string
  close: () => void
}

/** Shows the link to a task, and who can open it. */
export default function ShareTask({ link, owner, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const { data: me } = useQuery(meQuery)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} className="sheet" aria-labelledby="share-title" onClose={close}>
      <h2 id="share-title" className="mb-2 text-page font-semibold">
        Share this task
      </h2>
      <LinkToShare link={link} />
      <p className="mb-4 text-ink2">
        <bdi className="font-medium text-ink">{owner}</bdi> and the admins of the tenant{' '}
        <bdi>{me?.tenant}</bdi> can open it. Nobody else can see that it exists. You can share the runs of its
        tries individually.
      </p>
      <div className="flex justify-end">
        <button type="button" className="button" onClick={() => dialog.current?.close()}>
          Close <kbd className="key max-sm:hidden">Esc</kbd>
        </button>
      </div>
    </dialog>
  )
}
