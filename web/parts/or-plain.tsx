import { Component, type ReactNode } from 'react'

interface OrPlainProps {
  /** Shown instead of what fails. */
  text: string
  children: ReactNode
}

/** Shows a text as it is where what is made of it fails: one that cannot be drawn takes no others of its page with it. */
export class OrPlain extends Component<OrPlainProps, { failed: boolean }> {
  override state = { failed: false }
  static getDerivedStateFromError() {
    return { failed: true }
  }
  override render() {
    if (!this.state.failed) return this.props.children
    return <PlainText text={this.props.text} />
  }
}

/** A text with its lines as they are. */
export const PlainText = ({ text }: { text: string }) => (
  <pre className="font-mono text-meta break-words whitespace-pre-wrap">{text}</pre>
)
