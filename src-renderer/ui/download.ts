// Hands a file to the user: a link that is pressed for them.

export function download(name: string, content: Blob | string, type = 'text/plain;charset=utf-8'): void {
  const blob = typeof content === 'string' ? new Blob([content], { type }) : content;
  const address = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = address;
  // Characters that some file system forbids.
  link.download = name.replace(/[\\/:*?"<>|\s]+/g, '-').slice(0, 120);
  link.click();
  // The download has its own hold on the data by then; at once would be too early for some browsers.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
