// Sentences of main in Russian, second part: trained runs, texts, the queue, devices, files and what is wrong with them. As in said.ru.ts.
export const russianOfTheLab: readonly (readonly [RegExp, string])[] = [
  // Blocks and models.
  [
    /^products of (\d+) channels are not offered: monomial features go up to degree 2$/,
    'произведений $1 каналов нет: одночлены бывают до второй степени',
  ],
  [
    /^the sum of weights can be zero or negative when features are not positive \(featureMap identity\)$/,
    'сумма весов может стать нулём или отрицательной, если признаки не положительны (featureMap identity)',
  ],
  [
    /^set normalize to false and outputNorm to rmsnorm, or take featureMap elu1$/,
    'выключите normalize и поставьте outputNorm rmsnorm или возьмите featureMap elu1',
  ],
  [
    /^the data can’t make a dense matrix: it has no structure that a token could fill$/,
    'по данным плотную матрицу не составить: в ней нет строения, которое мог бы заполнить токен',
  ],
  [
    /^set dataDependent to false, or take another structure$/,
    'выключите dataDependent или возьмите другое строение матрицы',
  ],
  [
    /^(\d+) tokens do not fit a matrix that is learned for (\d+) positions$/,
    'токенов $1, а обучаемая матрица рассчитана на $2 позиций',
  ],
  [
    /^set maxSeqLen to (\d+), give shorter sequences, or let the data make the matrix$/,
    'поставьте maxSeqLen $1, возьмите последовательности короче или пусть матрицу составляют данные',
  ],
  [/^set (\S+)$/, 'задайте $1'],
  [/^try (\S+), or set project to true$/, 'попробуйте $1 или включите project'],
  [/^try (\S+), or switch alibi off$/, 'попробуйте $1 или выключите alibi'],
  [
    /^a state of (\d+) channels does not fit the width (\d+) without a projection$/,
    'состояние из $1 каналов без проекции не подходит к ширине $2',
  ],
  [
    /^config: (\d+) heads of (\d+) channels are (\d+), not the width (\d+)$/,
    'config: $1 голов по $2 каналов — это $3, а не ширина $4',
  ],
  [
    /^rwkv7: layer (\d+) blends its values with those of layer 0, and no layer 0 came before it; set layer to 0 or -1$/,
    'rwkv7: слой $1 смешивает значения со слоем 0, а его перед ним нет; поставьте layer 0 или -1',
  ],
  [
    /^layer (\d+) blends its values with those of layer 0, and no layer 0 stands before it$/,
    'слой $1 смешивает значения со слоем 0, а его перед ним нет',
  ],
  [/^set layer to -1, which counts in the model$/, 'поставьте layer -1: тогда слои считаются по модели'],
  [
    /^write blocks with commas between them, as in “mamba2 x3, attention x1”$/,
    'пишите блоки через запятую, например «mamba2 x3, attention x1»',
  ],
  [
    /^the model wants at least one sequence of at least one token, not tokens \[(.+)\]$/,
    'модели нужна хотя бы одна последовательность хотя бы из одного токена, а не токены [$1]',
  ],
  [
    /^the weights want (\S+) GiB of memory while they are drawn, more than there is; make the model smaller$/,
    'весам при создании нужно $1 ГиБ памяти, больше, чем есть; возьмите модель поменьше',
  ],
  [/^(.+) gives numbers that are not finite$/, '$1 выдаёт числа, которые не конечны'],
  [
    /^decoding wants at least one sequence, not (.+)$/,
    'для декодирования нужна хотя бы одна последовательность, а не $1',
  ],
  [
    /^a model with blocks that look at later tokens can not be decoded token by token$/,
    'модель, блоки которой смотрят на последующие токены, не декодируется токен за токеном',
  ],
  [/^(.+) can not be decoded token by token$/, '$1 не декодируется токен за токеном'],
  [
    /^(\d+) tokens came for (\d+) sequences; a step takes one token of each$/,
    'пришло $1 токенов для $2 последовательностей; шаг берёт по одному от каждой',
  ],
  [
    /^training wants about (.+) of memory \((.+) for weights, gradients and optimiser, (.+) for the activations of a batch\), and this machine has (.+)$/,
    'обучению нужно около $1 памяти ($2 на веса, градиенты и оптимизатор, $3 на активации пакета), а на этой машине её $4',
  ],
  [
    /^the optimiser state does not say how many updates were made$/,
    'в состоянии оптимизатора не сказано, сколько сделано обновлений',
  ],

  [
    /^rotary positions turn pairs of channels, so they want an even component width, not (\d+)$/,
    'RoPE поворачивает пары каналов, поэтому ширина составляющей должна быть чётной, а не $1',
  ],
  [
    /^(\d+) rotary channels leave nothing of a head of (\d+) to be tied$/,
    'при $1 поворачиваемых каналах от головы шириной $2 связывать нечего',
  ],
  [
    /^(\d+ heads|projection blocks of \d+ channels) do not divide the inner width (.+)$/,
    'внутренняя ширина $2 не делится: {1}',
  ],
  [/^(\d+) heads$/, 'голов $1'],
  [/^projection blocks of (\d+) channels$/, 'каналов в блоке проекции $1'],
  [/^heads of (\d+) channels do not divide the width (\d+)$/, 'ширина $2 не делится на ширину головы $1'],

  // Texts that trained runs write, and gaps that they fill.
  [/^token (.+) of the (text|prompt) is not a whole number from 0 to (\d+)$/, 'токен $1 – не целое число от 0 до $3'],
  [
    /^the model gave logits that are not numbers: it has diverged$/,
    'модель выдала логиты, которые не числа: она разошлась',
  ],
  [/^(.+) is not a number of tokens to add$/, '$1 – не число токенов, которые добавить'],
  [/^0 or more$/, '0 или больше'],
  [/^0 \(all\) or more$/, '0 (все) или больше'],
  [/^more than 0, at most 1$/, 'больше 0 и не больше 1'],
  [/^a whole number from (\S+) on$/, 'целое число от $1'],
  [/^the text has no gap to fill in$/, 'в тексте нет пропуска, который заполнить'],
  [
    /^write _ for each token that the model shall fill in, as in: the wh___ whale$/,
    'ставьте _ на место каждого токена, который заполнить, например: белый к__',
  ],
  [
    /^(\d+) texts are being written already, which is the most at a time; stop one first$/,
    'пишется уже $1 текстов, больше сразу нельзя; остановите один из них',
  ],
  [
    /^the text has changed since the run was trained, so its characters have other ids now$/,
    'с тех пор как запуск обучался, текст изменился, и у его символов теперь другие номера',
  ],
  [
    /^put the text back as it was; a run with the vocabulary bytes does not depend on it$/,
    'верните прежний текст; запуск со словарём байтов от него не зависит',
  ],
  [
    /^the run learns (.+), which has no text to go on with$/,
    'запуск учится задаче $1, в ней нет текста, который продолжать',
  ],
  [/^take a run that was trained on a text$/, 'возьмите запуск, обученный на тексте'],
  [
    /^the run learns to fill in hidden tokens, so it can not write on from a prompt$/,
    'запуск учится заполнять скрытые токены, поэтому продолжать текст он не может',
  ],
  [
    /^let it fill in gaps, or take a run that predicts the next token$/,
    'дайте ему заполнить пропуски или возьмите запуск, который предсказывает следующий токен',
  ],
  [
    /^the run learns to predict the next token, so it can not fill in gaps$/,
    'запуск учится предсказывать следующий токен, поэтому заполнять пропуски он не может',
  ],
  [
    /^let it write on from a prompt, or take a run that learns masked tokens$/,
    'дайте ему продолжить текст или возьмите запуск, который учится скрытым токенам',
  ],
  [
    /^(.+) has no checkpoint yet, so there is no trained model to write with; passed over: (.+)$/s,
    'у запуска $1 ещё нет контрольной точки, так что писать нечем; пропущено: $2',
  ],
  [
    /^(.+) has no checkpoint yet, so there is no trained model to write with$/,
    'у запуска $1 ещё нет контрольной точки, так что писать нечем',
  ],
  [
    /^wait for the first checkpoint, or stop the run, which writes one$/,
    'дождитесь первой или остановите запуск: тогда он её запишет',
  ],
  [
    /^the text that the run was trained on has no (.+?)(?: and (\d+) more)?, so its vocabulary of characters has no id for (?:it|them)$/,
    'в тексте, на котором обучен запуск, нет $1, так что и в словаре символов этого нет',
  ],
  [
    /^leave it out of the prompt, or train with the vocabulary bytes, which takes any text$/,
    'уберите это из текста или обучайте со словарём байтов, он берёт любой текст',
  ],
  [/^The process that writes the text (.+)$/s, 'Процесс, который пишет текст, оборвался: $1'],

  // Golden cases.
  [
    /^there is no golden case of (.+), so there is nothing to compare with$/,
    'эталонных случаев для $1 нет, сравнивать не с чем',
  ],
  [
    /^(.+) has no golden case: nothing was published to compare it with$/,
    'у блока $1 нет эталонных случаев: сравнивать не с чем',
  ],
  [/^the lab has no block (.+)$/, 'в лаборатории нет блока $1'],
  [/^there is no block (.+)$/, 'блока $1 нет'],

  // Tasks and texts.
  [/^(\S+) numbers of pairs do not go with (\S+) lengths$/, 'чисел пар $1, а длин $2'],
  [/^give as many as (\S+)Lengths has$/, 'дайте столько же, сколько их в $1Lengths'],
  [
    /^a length of (\S+) does not fit: rows are made of pairs, so it wants an even whole number$/,
    'длина $1 не подходит: строки состоят из пар, поэтому нужно чётное целое число',
  ],
  [
    /^(\S+) pairs, shown (\S+) times and asked once, want (\S+) tokens, but the length is (\S+)$/,
    'парам ($1), показанным $2 раз и спрошенным один раз, нужно $3 токенов, а длина – $4',
  ],
  [/^try (\S+) pairs, or a length of (\S+)$/, 'попробуйте пар $1 или длину $2'],
  [
    /^(\S+) pairs want as many different keys, but a vocabulary of (\S+) has (\S+)$/,
    'парам ($1) нужно столько же разных ключей, а в словаре из $2 их $3',
  ],
  [/^try a vocabulary of (\S+)$/, 'попробуйте словарь из $1'],
  [
    /^after (\S+) tries every training row of (\S+) tokens and (\S+) pairs is also a test row: the task is too small for test rows of its own$/,
    'за $1 попыток каждая обучающая строка из $2 токенов и $3 пар оказалась и проверочной: задача слишком мала для отдельных проверочных строк',
  ],
  [/^try a larger vocabulary or fewer test rows$/, 'попробуйте словарь побольше или меньше проверочных строк'],
  [/^take a longer text$/, 'возьмите текст длиннее'],
  [
    /^the text is not UTF-8, so it has no characters to count$/,
    'текст не в UTF-8, поэтому символов в нём не сосчитать',
  ],
  [/^take the vocabulary bytes, or save the text as UTF-8$/, 'возьмите словарь байтов или сохраните текст в UTF-8'],
  [
    /^the text has (\d+) different characters; at most (\d+) fit$/,
    'в тексте $1 разных символов; помещается не больше $2',
  ],
  [/^take the vocabulary bytes$/, 'возьмите словарь байтов'],
  [/^none of the (\d+) files of (.+) has a single byte$/, 'ни в одном из файлов ($1) текста $2 нет ни байта'],
  [/^(.+) does not have a single byte$/, 'в $1 нет ни байта'],
  [
    /^choose a file with text in it; a megabyte is a good start$/,
    'выберите файл с текстом; для начала хватит мегабайта',
  ],
  [
    /^(.+) has (\d+) bytes, which is more than the window can hand over \((\d+)\)$/,
    '$1 занимает $2 байт, это больше, чем может передать окно ($3)',
  ],
  [
    /^give the text task the absolute path of the file as its source$/,
    'укажите задаче «текст» полный путь к файлу как источник',
  ],
  [/^there is no text (.+) in this lab$/, 'текста $1 в этой лаборатории нет'],
  [/^there is no run (.+) in this lab$/, 'запуска $1 в этой лаборатории нет'],
  [/^there is no saved model (.+) in this lab$/, 'сохранённой модели $1 в этой лаборатории нет'],
  [
    /^These runs have more than (\S+) points, too many for one file; export fewer runs at a time\.$/,
    'В этих запусках больше $1 точек, для одного файла это слишком много; выгружайте меньше запусков сразу.',
  ],
  [/^(\d+) bytes are more than a setting holds \((\d+)\)$/, '$1 байт – больше, чем вмещает настройка ($2)'],

  // Runs, their workers and the queue.
  [
    /^It has not been started in this lab\. Resume puts it into the queue\.$/,
    'В этой лаборатории он ещё не запускался. Возобновление поставит его в очередь.',
  ],
  [/^(.+) is not the id of a run$/, '$1 – не имя папки запуска'],
  [/^(.+) has (\d+) bytes; a spec has at most (\d+)$/, '$1 занимает $2 байт; описание запуска – не больше $3'],
  [/^it has (\d+) bytes; a spec has at most (\d+)$/, 'занимает $1 байт; описание запуска – не больше $2'],
  [/^it is not JSON \((.+)\)$/s, 'это не JSON ($1)'],
  [/^(.+) is not JSON: (.+)$/s, '$1 – не JSON: $2'],
  [/^(.+) is not a folder of its own, so it stays$/, '$1 – не отдельная папка, поэтому она остаётся'],
  [
    /^The worker ended with exit code (\S+) and without a last word\.(.*)$/s,
    'Процесс запуска завершился с кодом $1, ничего не сказав.$2',
  ],
  [
    /^(.+) is (\w+); only a paused run takes single steps\.$/,
    '$1: делать по одному шагу может только запуск на паузе.',
  ],
  [/^(.+) is (\w+): only a run that trains can (\w+)\.$/, '$1: это может только запуск, который обучается.'],
  [/^(.+) is not in the queue, so it has no place to change\.$/, '$1 не в очереди, так что места у него нет.'],
  [
    /^(.+) is not in the queue; ask with null to move (.+) to its end\.$/,
    '$1 не в очереди; чтобы поставить $2 в её конец, передайте null.',
  ],
  [
    /^There is no run (.+) in this lab; it may have been deleted\.$/,
    'Запуска $1 в этой лаборатории нет; возможно, его удалили.',
  ],
  [/^There is no run (.+) in this lab\.$/, 'Запуска $1 в этой лаборатории нет.'],
  [/^The run's folder (.+) is gone\.$/, 'Папка запуска $1 пропала.'],
  [
    /^Run (.+) is no longer in the trash: it was removed after (\d+) days\.$/,
    'Запуска $1 больше нет в корзине: через $2 дней он удалён.',
  ],
  [
    /^(.+) is being trained by process (\S+), which this window did not start\. Wait until it ends, or end it there\.$/,
    '$1 обучает процесс $2, начатый не этим окном. Дождитесь его конца или завершите его там.',
  ],
  [
    /^(.+) is not built \(looked beside (.+)\); run npm start, which builds what is missing$/,
    '$1 не собран (искали рядом с $2); выполните npm start, он соберёт недостающее',
  ],
  [
    /^(.+) was written by a newer version of the lab \(schema (\d+); this one knows up to (\d+)\)\. Update the lab, or start it with --folder on another folder\.$/,
    '$1 записан более новой версией лаборатории (схема $2; эта знает до $3). Обновите лабораторию или запустите её с --folder на другой папке.',
  ],

  // Checkpoints and logs.
  [/^no room for (.+)$/, 'нет места для $1'],
  [/^go on from an earlier checkpoint$/, 'продолжите с более ранней контрольной точки'],
  [/^it is not a checkpoint description of format (.+)$/, 'это не описание контрольной точки формата $1'],
  [/^its description speaks of step (.+) and of the file (.+)$/, 'в её описании другой шаг ($1) и другой файл ($2)'],
  [/^it can't be read \((.+)\)$/s, 'её не прочитать ($1)'],
  [/^it has (\d+) bytes, its description says (\d+)$/, 'в ней $1 байт, а по описанию $2'],
  [
    /^its numbers are not those that were saved \(the SHA-256 sums differ\)$/,
    'числа в ней не те, что были записаны (суммы SHA-256 различаются)',
  ],
  [/^short write$/, 'запись оборвалась'],
  [
    /^the log became shorter while it was read; is another worker at it\?$/,
    'журнал стал короче, пока его читали; не пишет ли в него другой процесс?',
  ],
  [/^Passed over a checkpoint\. (.+)$/s, 'Контрольная точка пропущена. {1}'],
  [
    /^The optimiser starts anew: the state in the parent's checkpoint is another optimiser's \((.+)\)\.$/s,
    'Оптимизатор начинает заново: в контрольной точке родителя состояние другого оптимизатора ($1).',
  ],
  [/^No samples are drawn: (.+)\.$/s, 'Образцов не будет: {1}.'],
  [
    /^There is no whole checkpoint to go on from: the run starts anew\.$/,
    'Целой контрольной точки, с которой продолжить, нет: запуск начинается заново.',
  ],
  [
    /^No block looks at later tokens, so hidden tokens are filled in from what stands before them alone\.$/,
    'Ни один блок не смотрит на последующие токены, поэтому скрытые заполняются только по тому, что стоит перед ними.',
  ],
  [
    /^The data is not what the checkpoint was trained on: the source has changed since\.$/,
    'Данные не те, на которых обучена контрольная точка: с тех пор источник изменился.',
  ],
  [
    /^The checkpoint is of (.+) with (\S+) threads in (\S+), this is (.+) with (\S+) in (\S+): the run goes on, but not bit for bit as it would have\.$/,
    'Контрольная точка сделана на $1, потоков $2, $3; сейчас $4, потоков $5, $6: запуск продолжается, но не бит в бит так, как шёл бы.',
  ],
  [
    /^(\S+) training rows were drawn anew, because the test rows hold them\.$/,
    'Обучающих строк взято заново: $1, потому что они есть среди проверочных.',
  ],
  [
    /^The checkpoint of step (\d+) could not be written \((.+)\)\. Free some space in (.+); the run waits for it\.$/s,
    'Контрольную точку шага $1 записать не удалось ($2). Освободите место в $3; запуск ждёт.',
  ],
  [
    /^The checkpoint of step (\d+) could not be written \((.+)\)\. Free some space in (.+); training goes on, and older checkpoints are as they were\.$/s,
    'Контрольную точку шага $1 записать не удалось ($2). Освободите место в $3; обучение продолжается, прежние точки целы.',
  ],
  [
    /^The last checkpoint could not be written \((.+)\)\. Free some space and resume: the run goes on from an older one\.$/s,
    'Последнюю контрольную точку записать не удалось ($1). Освободите место и возобновите запуск: он продолжит с более ранней.',
  ],

  // The folder and its store.
  [
    /^Use that one, end it first, or start this one with --folder on another folder\. Nothing was changed\.$/,
    'Работайте в той, сначала завершите её или запустите эту с --folder на другой папке. Ничего не изменено.',
  ],
  [/^The lab in (.+) is already open in (.+)\.$/, 'Лаборатория в $1 уже открыта: $2.'],
  [
    /^The store was damaged \((.+)\)\. It was set aside as (.+), and a new one is built from the run folders\.$/s,
    'Хранилище было повреждено ($1). Оно отложено как $2, новое строится по папкам запусков.',
  ],
  [
    /^The disk that holds (.+) is full, so nothing was written\. Free some space and try again; what was there is unharmed\.$/,
    'Диск с папкой $1 заполнен, поэтому ничего не записано. Освободите место и повторите; то, что было, цело.',
  ],
  [
    /^The lab may not write to (.+)\. Give yourself the right to write there, or start the lab with --folder on another folder\.$/,
    'Лаборатории нельзя писать в $1. Дайте себе право на запись или запустите её с --folder на другой папке.',
  ],
  [
    /^The system has no more files or processes to give\. Close other programs, or run fewer models at once \(Device page\)\.$/,
    'У системы кончились файлы или процессы. Закройте другие программы или обучайте меньше моделей сразу (страница «Устройство»).',
  ],
  [
    /^The lab can't make or open its files in (.+) \((.+)\)\. See that it is a folder to which you may write, or start the lab with --folder on another one\.$/s,
    'Лаборатория не может создать или открыть файлы в $1 ($2). Проверьте, что это папка, куда вам можно писать, или запустите лабораторию с --folder на другой.',
  ],
  [
    /^The lab's store in (.+) can't be used right now \((.+)\)\. The run folders keep everything; restart the lab, and the store is checked and rebuilt from them\.$/s,
    'Хранилищем в $1 сейчас нельзя пользоваться ($2). Всё есть в папках запусков: перезапустите лабораторию, и она проверит хранилище и построит его по ним.',
  ],

  // Devices.
  [
    /^(.+): a (\S+) product is right to (\S+), at (\S+) GFLOP\/s(.*)\.$/,
    '$1: произведение $2 верно до $3, скорость $4 GFLOP/s{5}.',
  ],
  [/^( of \S+ between registers)(; it copies .+)$/, '{1}{2}'],
  [/^ of (\S+) between registers$/, ' из $1 в регистрах'],
  [/^; it copies (\S+) GB\/s$/, '; копирует $1 ГБ/с'],
  [
    /^(.+): a (\S+) product is off by (\S+); don't trust this device\.$/,
    '$1: произведение $2 неверно на $3; не доверяйте этому устройству.',
  ],
  [
    /^device (\S+): bfloat16 is there on the cpu device with native kernels and on webgpu; choose float32$/,
    'устройство $1: bfloat16 есть на cpu со своими ядрами и на webgpu; возьмите float32',
  ],
  [/^device (\S+): (.+)$/s, 'устройство $1: {2}'],
  [
    /^(.+): these types or shapes are not supported on this device$/,
    '$1: такие типы или формы это устройство не умеет',
  ],
  [/^(\S+) on the GPU: (.+)$/, '$1 на видеокарте: $2'],
  [/^the archive is damaged at byte (\d+)$/, 'архив повреждён на байте $1'],

  // What the devices are.
  [/^Reference \(TF\.js's JavaScript CPU backend\)$/, 'Эталон (TF.js на JavaScript)'],
  [/^JavaScript, one thread$/, 'JavaScript, один поток'],
  [/^(\S+ with \S+|\S+), (\d+) threads?$/, '{1}, потоков: $2'],
  [/^(AVX-512) with (\S+)$/, '$1 с $2'],
  [
    /^no adapter was found: WebGPU wants a graphics driver with Vulkan \(Linux\), Direct3D 12 \(Windows\) or Metal \(macOS\)$/,
    'видеокарта не найдена: WebGPU нужен драйвер с Vulkan (Linux), Direct3D 12 (Windows) или Metal (macOS)',
  ],
  [/^not installed; (`.+`) \(CUDA\) or (`.+`) adds it\.$/, 'не установлен; его добавит $1 (CUDA) или $2.'],
];
