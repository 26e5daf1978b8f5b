// What the desktop host itself says, in English and Russian: menus and two questions.

const en = {
  file: 'File',
  edit: 'Edit',
  view: 'View',
  help: 'Help',
  window: 'Window',
  build: 'Build',
  runs: 'Runs',
  compare: 'Compare',
  device: 'Device',
  openFolder: 'Show lab folder',
  quit: 'Quit',
  undo: 'Undo',
  redo: 'Redo',
  cut: 'Cut',
  copy: 'Copy',
  paste: 'Paste',
  selectAll: 'Select all',
  reload: 'Reload',
  zoomIn: 'Zoom in',
  zoomOut: 'Zoom out',
  actualSize: 'Actual size',
  fullScreen: 'Full screen',
  developer: 'Developer tools',
  close: 'Close',
  minimise: 'Minimise',
  training: 'Models are being trained',
  trainingDetail:
    'If you quit, each run writes a checkpoint and ends as interrupted. At the next start you can resume it where it was.',
  keepOpen: 'Keep open',
  quitAll: 'Quit',
  cannotOpen: 'The lab can’t be opened',
};
export type Words = Record<keyof typeof en, string>;

const ru: Words = {
  file: 'Файл',
  edit: 'Правка',
  view: 'Вид',
  help: 'Справка',
  window: 'Окно',
  build: 'Сборка',
  runs: 'Запуски',
  compare: 'Сравнение',
  device: 'Устройство',
  openFolder: 'Показать папку лаборатории',
  quit: 'Выйти',
  undo: 'Отменить',
  redo: 'Повторить',
  cut: 'Вырезать',
  copy: 'Копировать',
  paste: 'Вставить',
  selectAll: 'Выделить всё',
  reload: 'Обновить',
  zoomIn: 'Крупнее',
  zoomOut: 'Мельче',
  actualSize: 'Исходный размер',
  fullScreen: 'Во весь экран',
  developer: 'Инструменты разработчика',
  close: 'Закрыть',
  minimise: 'Свернуть',
  training: 'Идёт обучение моделей',
  trainingDetail:
    'При выходе каждый запуск сохранит контрольную точку и будет прерван. При следующем старте его можно продолжить с того же места.',
  keepOpen: 'Не закрывать',
  quitAll: 'Выйти',
  cannotOpen: 'Лаборатория не открывается',
};

/** `chosen`: the language set in the window, else the system's. */
export const wordsFor = (chosen: unknown, system: string): Words =>
  (typeof chosen === 'string' ? chosen : system).startsWith('ru') ? ru : en;
