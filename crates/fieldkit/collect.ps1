<#
Creates small virtual disks on this Hyper-V host, turns on change tracking, queries Windows for the
changes, and packs the metadata of the files with the answers. Such a sample confirms or contradicts
how vhdx-rct reads .rct and .vhds files. See README.md in this directory.

Windows PowerShell 5.1 or later, 64 bit, as administrator, on a local NTFS volume with a drive letter.
-DryRun lists what would be done and changes nothing.
#>
param(
    [string]$Output = "$env:SystemDrive\rct-sample-$(Get-Date -Format yyyyMMdd-HHmmss)",
    [string[]]$Only,
    [switch]$DryRun
)
Set-StrictMode -Version 1
$ErrorActionPreference = 'Stop'

# The scenarios: a name, the disk's size, its logical sector size, and what the scenario shows.
$scenarios = @(
    @{ Name = 'small-512'; Size = 100MB; Sector = 512; What = 'units, pages, whole and partial chunks' }
    @{ Name = 'small-4096'; Size = 100MB; Sector = 4096; What = 'the same with 4 KiB sectors' }
    @{ Name = 'size-15.95'; Size = 16333MB; Sector = 512; What = 'where a second offset page begins' }
    @{ Name = 'size-127.5'; Size = 130560MB; Sector = 512; What = 'the number of units and pages' }
    @{ Name = 'child'; Size = 100MB; Sector = 512; What = 'ids of a parent in a child, and a merge' }
    @{ Name = 'set'; Size = 100MB; Sector = 512; What = 'a VHD Set with two snapshots, one then deleted' }
    @{ Name = 'unclean'; Size = 100MB; Sector = 512; What = 'files of a disk in use, from a shadow copy' }
    @{ Name = 'vm'; Size = 100MB; Sector = 512; What = 'reference points of a VM that never runs' }
)
# powershell -File passes a list as one string.
$Only = @($Only | ForEach-Object { $_ -split ',' } | Where-Object { $_ })
$unknown = @($Only | Where-Object { $scenarios.Name -notcontains $_ })
if ($unknown) { throw "There is no scenario $($unknown -join ', '); there are $($scenarios.Name -join ', ')." }
if ($Only) { $scenarios = @($scenarios | Where-Object { $Only -contains $_.Name }) }
if ($DryRun) {
    "Would create the directory $Output, and in it:"
    foreach ($s in $scenarios) { '  {0,-11} a disk of {1:n0} MB, dynamic: {2}' -f $s.Name, ($s.Size / 1MB), $s.What }
    'Would attach these disks without drive letters, write patterns to them, and detach them.'
    'The scenario "unclean" creates one shadow copy of that volume, "vm" one VM; both are deleted again.'
    "At the end only $Output\sample and $Output\sample.zip would remain. Nothing was changed."
    return
}

$me = New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'Please run this as administrator.' }
if (-not [Environment]::Is64BitProcess) { throw 'Please run this in a 64-bit PowerShell.' }
$Output = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Output)
if (-not (Get-Command New-VHD -ErrorAction SilentlyContinue)) { throw 'Please enable Hyper-V with its PowerShell module.' }
if (Test-Path -LiteralPath $Output) { throw "$Output exists; please name a directory that does not." }

# virtdisk.dll. The structures have the offsets that a 64-bit compiler gives those of virtdisk.h.
Add-Type -TypeDefinition @'
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

public static class RctSample
{
    [StructLayout(LayoutKind.Sequential)]
    public struct StorageType { public uint DeviceId; public Guid VendorId; }

    // Version 1: First is RWDepth. Version 2: First is GetInfoOnly.
    [StructLayout(LayoutKind.Explicit, Size = 44)]
    public struct OpenParameters
    {
        [FieldOffset(0)] public int Version;
        [FieldOffset(4)] public int First;
        [FieldOffset(8)] public int ReadOnly;
        [FieldOffset(12)] public Guid ResiliencyGuid;
    }

    // Version 2; the size is that of version 4, the largest of the union.
    [StructLayout(LayoutKind.Explicit, Size = 184)]
    public struct CreateParameters
    {
        [FieldOffset(0)] public int Version;
        [FieldOffset(8)] public Guid UniqueId;
        [FieldOffset(24)] public ulong MaximumSize;
        [FieldOffset(32)] public uint BlockSizeInBytes;
        [FieldOffset(36)] public uint SectorSizeInBytes;
        [FieldOffset(40)] public uint PhysicalSectorSizeInBytes;
        [FieldOffset(48)] public IntPtr ParentPath;
        [FieldOffset(56)] public IntPtr SourcePath;
        [FieldOffset(64)] public uint OpenFlags;
        [FieldOffset(68)] public StorageType ParentType;
        [FieldOffset(88)] public StorageType SourceType;
        [FieldOffset(108)] public Guid ResiliencyGuid;
    }

    [StructLayout(LayoutKind.Explicit, Size = 32)]
    public struct SetInfo
    {
        [FieldOffset(0)] public int Version;
        [FieldOffset(8)] public int ChangeTrackingEnabled;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct SnapshotParameters { public int Version; public Guid SnapshotId; }

    [StructLayout(LayoutKind.Explicit, Size = 12)]
    public struct MergeParameters
    {
        [FieldOffset(0)] public int Version;
        [FieldOffset(4)] public uint MergeDepth;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct ChangedRange { public ulong Offset; public ulong Length; public ulong Reserved; }

    public class State { public bool Enabled; public bool Newer; public string Id; }
    public class Changes { public ulong Processed; public List<ulong> Offsets = new List<ulong>(); public List<ulong> Lengths = new List<ulong>(); }

    [DllImport("virtdisk.dll", CharSet = CharSet.Unicode)]
    static extern uint OpenVirtualDisk(ref StorageType type, string path, uint access, uint flags, ref OpenParameters parameters, out IntPtr handle);
    [DllImport("virtdisk.dll", CharSet = CharSet.Unicode)]
    static extern uint CreateVirtualDisk(ref StorageType type, string path, uint access, IntPtr security, uint flags, uint provider, ref CreateParameters parameters, IntPtr overlapped, out IntPtr handle);
    [DllImport("virtdisk.dll")]
    static extern uint AttachVirtualDisk(IntPtr handle, IntPtr security, uint flags, uint provider, IntPtr parameters, IntPtr overlapped);
    [DllImport("virtdisk.dll")]
    static extern uint DetachVirtualDisk(IntPtr handle, uint flags, uint provider);
    [DllImport("virtdisk.dll", CharSet = CharSet.Unicode)]
    static extern uint GetVirtualDiskPhysicalPath(IntPtr handle, ref uint bytes, StringBuilder path);
    [DllImport("virtdisk.dll")]
    static extern uint GetVirtualDiskInformation(IntPtr handle, ref uint size, IntPtr info, out uint used);
    [DllImport("virtdisk.dll")]
    static extern uint SetVirtualDiskInformation(IntPtr handle, ref SetInfo info);
    [DllImport("virtdisk.dll", CharSet = CharSet.Unicode)]
    static extern uint QueryChangesVirtualDisk(IntPtr handle, string id, ulong offset, ulong length, uint flags, [Out] ChangedRange[] ranges, ref uint count, out ulong processed);
    [DllImport("virtdisk.dll")]
    static extern uint MergeVirtualDisk(IntPtr handle, uint flags, ref MergeParameters parameters, IntPtr overlapped);
    [DllImport("virtdisk.dll")]
    static extern uint TakeSnapshotVhdSet(IntPtr handle, ref SnapshotParameters parameters, uint flags);
    [DllImport("virtdisk.dll")]
    static extern uint DeleteSnapshotVhdSet(IntPtr handle, ref SnapshotParameters parameters, uint flags);
    [DllImport("kernel32.dll")]
    static extern bool CloseHandle(IntPtr handle);
    [DllImport("kernel32.dll", CharSet = CharSet.Unicode, SetLastError = true)]
    static extern IntPtr CreateFile(string path, uint access, uint share, IntPtr security, uint disposition, uint flags, IntPtr template);
    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool SetFilePointerEx(IntPtr file, long distance, IntPtr position, uint method);
    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool WriteFile(IntPtr file, IntPtr buffer, uint count, out uint written, IntPtr overlapped);
    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool FlushFileBuffers(IntPtr file);

    static void Check(uint code, string what)
    {
        if (code != 0) throw new Exception(String.Format("{0} failed with 0x{1:X8} ({1})", what, code));
    }

    static void Must(bool good, string what)
    {
        if (!good) Check((uint)Marshal.GetLastWin32Error(), what);
    }

    // Device 3 is VHDX, 4 is a VHD Set; the vendor is Microsoft.
    static StorageType TypeOf(uint device)
    {
        StorageType type = new StorageType();
        type.DeviceId = device;
        type.VendorId = new Guid("EC984AEC-A0F9-47E9-901F-71415A66345B");
        return type;
    }

    static uint DeviceOf(string path)
    {
        return path.EndsWith(".vhds", StringComparison.OrdinalIgnoreCase) ? 4u : 3u;
    }

    // Flag 0x20 keeps the parent's change tracking. A block size of 0 is the default.
    public static void Create(string path, ulong size, uint sector, string parent, uint flags)
    {
        StorageType type = TypeOf(3);
        CreateParameters p = new CreateParameters();
        p.Version = 2;
        p.MaximumSize = size;
        p.SectorSizeInBytes = sector;
        // PowerShell passes an empty string for null.
        if (!String.IsNullOrEmpty(parent)) { p.ParentPath = Marshal.StringToHGlobalUni(parent); p.ParentType = TypeOf(3); }
        IntPtr handle;
        uint code = CreateVirtualDisk(ref type, path, 0, IntPtr.Zero, flags, 0, ref p, IntPtr.Zero, out handle);
        if (p.ParentPath != IntPtr.Zero) Marshal.FreeHGlobal(p.ParentPath);
        Check(code, "CreateVirtualDisk");
        CloseHandle(handle);
    }

    // Version 2 takes no access mask (0); version 1 takes a mask and a depth.
    public static IntPtr Open(string path, int version, uint access, int first, bool readOnly)
    {
        StorageType type = TypeOf(DeviceOf(path));
        OpenParameters p = new OpenParameters();
        p.Version = version;
        p.First = first;
        p.ReadOnly = readOnly ? 1 : 0;
        IntPtr handle;
        Check(OpenVirtualDisk(ref type, path, access, 0, ref p, out handle), "OpenVirtualDisk");
        return handle;
    }

    // VIRTUAL_DISK_ACCESS_GET_INFO, as QueryChangesVirtualDisk requires; otherwise version 2.
    public static IntPtr OpenForInfo(string path)
    {
        try { return Open(path, 1, 0x80000, 0, false); }
        catch (Exception) { return Open(path, 2, 0, 1, true); }
    }

    public static IntPtr OpenForChange(string path) { return Open(path, 2, 0, 0, false); }

    // Closing the handle also detaches a disk that was attached through it.
    public static void Close(IntPtr handle) { CloseHandle(handle); }

    // SET_VIRTUAL_DISK_INFO_CHANGE_TRACKING_STATE
    public static void Track(IntPtr handle)
    {
        SetInfo info = new SetInfo();
        info.Version = 6;
        info.ChangeTrackingEnabled = 1;
        Check(SetVirtualDiskInformation(handle, ref info), "SetVirtualDiskInformation");
    }

    // GET_VIRTUAL_DISK_INFO_CHANGE_TRACKING_STATE: two BOOLs at 8 and 12, the id as text at 16.
    public static State GetState(IntPtr handle)
    {
        uint size = 4096, used;
        IntPtr info = Marshal.AllocHGlobal((int)size);
        try
        {
            for (int i = 0; i < size; i += 4) Marshal.WriteInt32(info, i, 0);
            Marshal.WriteInt32(info, 15);
            Check(GetVirtualDiskInformation(handle, ref size, info, out used), "GetVirtualDiskInformation");
            State state = new State();
            state.Enabled = Marshal.ReadInt32(info, 8) != 0;
            state.Newer = Marshal.ReadInt32(info, 12) != 0;
            state.Id = Marshal.PtrToStringUni(IntPtr.Add(info, 16));
            return state;
        }
        finally { Marshal.FreeHGlobal(info); }
    }

    public static Changes Query(IntPtr handle, string id, ulong length)
    {
        ChangedRange[] ranges = new ChangedRange[65536];
        uint count = (uint)ranges.Length;
        Changes found = new Changes();
        Check(QueryChangesVirtualDisk(handle, id, 0, length, 0, ranges, ref count, out found.Processed), "QueryChangesVirtualDisk");
        for (uint i = 0; i < count; i++) { found.Offsets.Add(ranges[i].Offset); found.Lengths.Add(ranges[i].Length); }
        return found;
    }

    // Without a drive letter (2). Returns the path of the disk, \\.\PhysicalDriveN.
    public static string Attach(IntPtr handle)
    {
        Check(AttachVirtualDisk(handle, IntPtr.Zero, 2, 0, IntPtr.Zero, IntPtr.Zero), "AttachVirtualDisk");
        uint bytes = 520;
        StringBuilder path = new StringBuilder(260);
        Check(GetVirtualDiskPhysicalPath(handle, ref bytes, path), "GetVirtualDiskPhysicalPath");
        return path.ToString();
    }

    public static void Detach(IntPtr handle) { Check(DetachVirtualDisk(handle, 0, 0), "DetachVirtualDisk"); }

    public static void Merge(IntPtr handle)
    {
        MergeParameters p = new MergeParameters();
        p.Version = 1;
        p.MergeDepth = 1;
        Check(MergeVirtualDisk(handle, 0, ref p, IntPtr.Zero), "MergeVirtualDisk");
    }

    public static void Snapshot(IntPtr handle, Guid id)
    {
        SnapshotParameters p = new SnapshotParameters();
        p.Version = 1;
        p.SnapshotId = id;
        Check(TakeSnapshotVhdSet(handle, ref p, 0), "TakeSnapshotVhdSet");
    }

    // DELETE_SNAPSHOT_VHDSET_FLAG_PERSIST_RCT: the snapshot remains as a reference point.
    public static void DeleteSnapshot(IntPtr handle, Guid id)
    {
        SnapshotParameters p = new SnapshotParameters();
        p.Version = 1;
        p.SnapshotId = id;
        Check(DeleteSnapshotVhdSet(handle, ref p, 1), "DeleteSnapshotVhdSet");
    }

    // Writes a pattern to a whole disk, bypassing the cache, from memory aligned to 4 KiB.
    public static void Write(string disk, long offset, long length, byte fill)
    {
        IntPtr file = CreateFile(disk, 0xC0000000, 3, IntPtr.Zero, 3, 0xA0000000, IntPtr.Zero);
        Must(file != new IntPtr(-1), "CreateFile " + disk);
        int most = 1 << 20;
        IntPtr memory = Marshal.AllocHGlobal(most + 4096);
        try
        {
            IntPtr buffer = new IntPtr((memory.ToInt64() + 4095) / 4096 * 4096);
            byte[] pattern = new byte[most];
            for (int i = 0; i < most; i++) pattern[i] = fill;
            Marshal.Copy(pattern, 0, buffer, most);
            Must(SetFilePointerEx(file, offset, IntPtr.Zero, 0), "SetFilePointerEx");
            while (length > 0)
            {
                uint count = (uint)Math.Min(length, most), written;
                Must(WriteFile(file, buffer, count, out written, IntPtr.Zero) && written == count, "WriteFile");
                length -= count;
            }
            Must(FlushFileBuffers(file), "FlushFileBuffers");
        }
        finally { Marshal.FreeHGlobal(memory); CloseHandle(file); }
    }
}
'@

# The manifest so far, and the events of the running scenario.
$sample = Join-Path $Output 'sample'
$work = Join-Path $Output 'work'
$os = Get-CimInstance -ClassName Win32_OperatingSystem
$revision = (Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion').UBR
$cases = [System.Collections.Generic.List[object]]::new()
$errors = [System.Collections.Generic.List[object]]::new()
$log = [System.Collections.Generic.List[object]]::new()
$scenario = ''
$fill = 0

# Runs a step. If it fails, its error becomes part of the sample and the scenario continues.
function Step([string]$What, [scriptblock]$Do) {
    try { & $Do } catch {
        Write-Warning "${scenario}: ${What}: $_"
        # object: error
        $errors.Add([ordered]@{
            scenario = $scenario
            step = $What
            message = "$_"
        })
    }
}

# Records an event; the manifest keeps them in order.
function Note([string]$Kind, $Offset = $null, $Length = $null, $Id = $null, $Newer = $null) {
    # object: event
    $log.Add([ordered]@{
        kind = $Kind
        at = (Get-Date).ToUniversalTime().ToString('o')
        offset = $Offset
        length = $Length
        id = $Id
        newer = $Newer
    })
}

function With-Handle([IntPtr]$Handle, [scriptblock]$Do) {
    try { & $Do $Handle } finally { [RctSample]::Close($Handle) }
}

# Records the newest id that Windows reports, and whether the disk was written to since.
function Note-State([string]$Path, [string]$Kind = 'state') {
    Step "state of $(Split-Path $Path -Leaf)" {
        $state = With-Handle ([RctSample]::OpenForInfo($Path)) { param($h) [RctSample]::GetState($h) }
        if (-not $state.Enabled) { throw 'change tracking is disabled' }
        Note $Kind -Id $state.Id -Newer $state.Newer
    }
}

function Track([string]$Path) {
    Step 'turn tracking on' {
        With-Handle ([RctSample]::OpenForChange($Path)) { param($h) [RctSample]::Track($h) }
    }
    Note-State $Path 'tracked'
}

# A range of a disk or of a file.
function Part([long]$Offset, [long]$Length) { [pscustomobject]@{ Offset = $Offset; Length = $Length } }

# Writes to these ranges of a disk, and then runs a block while it is still attached.
function Write-Disk([string]$Path, $Places, [scriptblock]$While = { $null }) {
    Step "write to $(Split-Path $Path -Leaf)" {
        With-Handle ([RctSample]::OpenForChange($Path)) {
            param($h)
            $device = [RctSample]::Attach($h)
            # Windows Server may attach a new disk read-only.
            if ($device -match 'PhysicalDrive(\d+)$') {
                try { Set-Disk -Number ([int]$Matches[1]) -IsReadOnly $false } catch { Write-Verbose "$_" }
            }
            foreach ($place in $Places) {
                $script:fill = $script:fill % 255 + 1
                [RctSample]::Write($device, $place.Offset, $place.Length, $script:fill)
                Note 'write' -Offset $place.Offset -Length $place.Length
            }
            & $While
            [RctSample]::Detach($h)
        }
    }
}

# Queries Windows for the changes since every id that was seen, through both APIs, and packs the files.
function Save-Case([string]$Stage, [string]$Disk, [long]$Size, [long]$Sector, [string]$From = (Split-Path $Disk), [switch]$NoAnswers) {
    $name = "$scenario-$Stage"
    $directory = Join-Path $sample $name
    [void](New-Item -ItemType Directory -Path $directory)
    $answers = [System.Collections.Generic.List[object]]::new()
    $files = [System.Collections.Generic.List[object]]::new()
    $ids = @($log | Where-Object { $_.id } | ForEach-Object { $_.id } | Select-Object -Unique)
    foreach ($id in $ids) {
        # Without an answer of Windows, the check can still look for what was written.
        if ($NoAnswers) { Add-Answer $answers 'none' $id '' { throw 'not asked' } }
        else {
            Add-Answer $answers 'QueryChangesVirtualDisk' $id '' {
                $found = With-Handle ([RctSample]::OpenForInfo($Disk)) { param($h) [RctSample]::Query($h, $id, $Size) }
                @{ Processed = $found.Processed; Offsets = $found.Offsets.ToArray(); Lengths = $found.Lengths.ToArray() }
            }
            # A set also answers from one snapshot to another.
            foreach ($target in @('') + @($ids | Where-Object { $Disk -like '*.vhds' -and $_ -ne $id -and $_ -notlike 'rctX*' })) {
                Add-Answer $answers 'GetVirtualDiskChanges' $id $target {
                    $service = Get-CimInstance -Namespace root/virtualization/v2 -ClassName Msvm_ImageManagementService
                    $in = @{ Path = $Disk; LimitId = $id; ByteOffset = [uint64]0; ByteLength = [uint64]$Size }
                    if ($target) { $in.TargetSnapshotId = $target }
                    $found = Invoke-CimMethod -InputObject $service -MethodName GetVirtualDiskChanges -Arguments $in
                    if ($found.ReturnValue -ne 0) { throw "returned $($found.ReturnValue)" }
                    @{ Processed = $found.ProcessedByteLength; Offsets = $found.ChangedByteOffsets; Lengths = $found.ChangedByteLengths }
                }
            }
        }
    }
    foreach ($file in @(Get-ChildItem -LiteralPath $From -File)) {
        Step "pack $($file.Name)" { $files.Add((Save-File $file.FullName $directory)) }
    }
    # object: case
    $cases.Add([ordered]@{
        name = $name
        disk = Split-Path $Disk -Leaf
        size = $Size
        sector = $Sector
        events = @($log.ToArray())
        answers = @($answers.ToArray())
        files = @($files.ToArray())
    })
}

function Add-Answer($Answers, [string]$Method, [string]$Since, [string]$Target, [scriptblock]$Ask) {
    $problem = $null
    $processed = $null
    # Keeps empty lists and lists of one item as arrays in the JSON.
    $offsets = $lengths = [object[]]@()
    try {
        $found = & $Ask
        $processed = $found.Processed
        if ($null -ne $found.Offsets) { $offsets = [object[]]@($found.Offsets) }
        if ($null -ne $found.Lengths) { $lengths = [object[]]@($found.Lengths) }
    } catch { $problem = "$_" }
    # object: answer
    $Answers.Add([ordered]@{
        method = $Method
        since = $Since
        target = $Target
        error = $problem
        processed = $processed
        offsets = $offsets
        lengths = $lengths
    })
}

function Read-At($File, [long]$Offset, [int]$Length) {
    $bytes = [byte[]]::new($Length)
    $File.Position = $Offset
    $have = 0
    while ($have -lt $Length) {
        $count = $File.Read($bytes, $have, $Length - $have)
        if ($count -eq 0) { throw "the file ends before $($Offset + $Length)" }
        $have += $count
    }
    , $bytes
}

# Divides and rounds up.
function Get-Quotient([long]$Number, [long]$By) { ($Number - 1 - ($Number - 1) % $By) / $By + 1 }

# Returns the parts of a .vhdx file without payload: headers, log, BAT, metadata and sector bitmaps.
# This is the rule of Disk::metadata_parts in the crate, which is tested with real images.
function Get-Parts($File) {
    $parts = [System.Collections.Generic.List[object]]::new()
    $head = Read-At $File 0 1MB
    $parts.Add((Part 0 1MB))
    $current = $null
    foreach ($at in 64KB, 128KB) {
        if ([Text.Encoding]::ASCII.GetString($head, $at, 4) -ne 'head') { continue }
        if ($null -eq $current -or [BitConverter]::ToInt64($head, $at + 8) -gt [BitConverter]::ToInt64($head, $current + 8)) { $current = $at }
    }
    if ($null -eq $current) { throw 'no header was found' }
    $parts.Add((Part ([BitConverter]::ToInt64($head, $current + 72)) ([BitConverter]::ToUInt32($head, $current + 68))))
    # The region table: entries of 32 bytes from offset 16: a GUID, the offset, the length.
    $regions = @{}
    for ($i = 0; $i -lt [Math]::Min([BitConverter]::ToUInt32($head, 192KB + 8), 2047); $i++) {
        $at = 192KB + 16 + 32 * $i
        $id = [Guid]::new([byte[]]$head[$at..($at + 15)]).ToString()
        $regions[$id] = Part ([BitConverter]::ToInt64($head, $at + 16)) ([BitConverter]::ToUInt32($head, $at + 24))
    }
    $bat = $regions['2dc27766-f623-4200-9d64-115e9bfd4a08']
    $metadata = $regions['8b7ca206-4790-4b9a-b8fe-575f050f886e']
    if (-not $bat -or -not $metadata) { throw 'the region table lacks the BAT or the metadata' }
    $parts.Add($metadata)
    $parts.Add($bat)
    # The metadata table: entries of 32 bytes from offset 32: a GUID, the item's offset in the region.
    $table = Read-At $File $metadata.Offset $metadata.Length
    $items = @{}
    for ($i = 0; $i -lt [Math]::Min([BitConverter]::ToUInt16($table, 10), 2047); $i++) {
        $at = 32 + 32 * $i
        # A user item may have the GUID of a system item.
        if ($table[$at + 24] -band 1) { continue }
        $items[[Guid]::new([byte[]]$table[$at..($at + 15)]).ToString()] = [int][BitConverter]::ToUInt32($table, $at + 16)
    }
    $parameters = $items['caa16737-fa36-4d43-b3b6-33f0aa44e76b']
    [long]$blockSize = [BitConverter]::ToUInt32($table, $parameters)
    $hasParent = ([BitConverter]::ToUInt32($table, $parameters + 4) -band 2) -ne 0
    $size = [BitConverter]::ToInt64($table, $items['2fa54224-cd1b-4876-b211-5dbed83bf4b8'])
    [long]$sector = [BitConverter]::ToUInt32($table, $items['8141bf1d-a96f-4709-ba47-f233a8faab5f'])
    # After every $ratio payload entries, the BAT has one for their sector bitmap.
    [long]$ratio = 8388608 * $sector / $blockSize
    $blocks = Get-Quotient $size $blockSize
    $chunks = Get-Quotient $blocks $ratio
    $entries = if ($hasParent) { $chunks * ($ratio + 1) } else { $blocks + $chunks - 1 }
    $payload = [System.Collections.Generic.List[long]]::new()
    $entriesBytes = Read-At $File $bat.Offset (8 * $entries)
    for ($i = 0; $i -lt $entries; $i++) {
        $entry = [BitConverter]::ToInt64($entriesBytes, 8 * $i)
        $place = ($entry -shr 20) * 1MB
        if (($i + 1) % ($ratio + 1) -ne 0) {
            if (($entry -band 7) -ge 6) { $payload.Add($place) }
        } elseif ($hasParent -and ($entry -band 7) -ge 6) {
            $parts.Add((Part $place 1MB))
        }
    }
    # Ensures that no payload is packed: no part overlaps a block that the BAT refers to.
    foreach ($part in $parts) {
        foreach ($place in $payload) {
            if ($place -lt $part.Offset + $part.Length -and $part.Offset -lt $place + $blockSize) { throw "the part at $($part.Offset) would hold payload" }
        }
    }
    $parts | Sort-Object -Property Offset
}

# Packs a file: the parts of a disk, concatenated, as NAME.parts; any other file as a whole.
function Save-File([string]$Path, [string]$Directory) {
    $name = Split-Path $Path -Leaf
    $isDisk = $Path -match '\.a?vhdx$'
    $stored = $name + $(if ($isDisk) { '.parts' } else { '' })
    $list = [System.Collections.Generic.List[object]]::new()
    # Another process may still hold a file that was just closed.
    for ($try = 0; ; $try++) {
        try { $file = [IO.File]::Open($Path, 'Open', 'Read', 'ReadWrite'); break } catch {
            if ($try -ge 20) { throw }
            Start-Sleep -Milliseconds 250
        }
    }
    try {
        if (-not $isDisk -and $file.Length -gt 64MB) { throw 'the file is larger than 64 MB' }
        $parts = @(if ($isDisk) { Get-Parts $file } else { Part 0 $file.Length })
        $out = [IO.File]::Create((Join-Path $Directory $stored))
        try {
            foreach ($part in $parts) {
                for ([long]$done = 0; $done -lt $part.Length; $done += 1MB) {
                    $bytes = Read-At $file ($part.Offset + $done) ([Math]::Min([long]1MB, $part.Length - $done))
                    $out.Write($bytes, 0, $bytes.Length)
                }
                # object: part
                $list.Add([ordered]@{
                    offset = $part.Offset
                    length = $part.Length
                })
            }
        } finally { $out.Dispose() }
        # object: file
        [ordered]@{
            name = $name
            stored = $stored
            length = $file.Length
            sha256 = (Get-FileHash -Algorithm SHA256 -LiteralPath (Join-Path $Directory $stored)).Hash.ToLower()
            parts = @($list.ToArray())
        }
    } finally { $file.Dispose() }
}

# Waits for a management job, at most five minutes.
function Complete-Job($Result) {
    if ($Result.ReturnValue -eq 0) { return }
    if ($Result.ReturnValue -ne 4096) { throw "returned $($Result.ReturnValue)" }
    for ($i = 0; $i -lt 600; $i++) {
        $job = Get-CimInstance -InputObject $Result.Job
        if ($job.JobState -ge 7) { break }
        Start-Sleep -Milliseconds 500
    }
    if ($job.JobState -ne 7) { throw "its job ended in state $($job.JobState): $($job.ErrorDescription)" }
}

# Creates an id as a backup program does: Windows creates a reference point of the VM.
function New-ReferencePoint($Vm, [string]$Disk) {
    $space = 'root/virtualization/v2'
    $system = Get-CimInstance -Namespace $space -ClassName Msvm_ComputerSystem -Filter "Name='$($Vm.Id)'"
    $class = Get-CimClass -Namespace $space -ClassName Msvm_VirtualSystemReferencePointSettingData
    $settings = New-CimInstance -CimClass $class -ClientOnly -Property @{ ConsistencyLevel = [byte]2 }
    $serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()
    $bytes = $serializer.Serialize($settings, [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None)
    $service = Get-CimInstance -Namespace $space -ClassName Msvm_VirtualSystemReferencePointService
    # The documentation has 1 for "based on RCT" in one place and 2 in another.
    foreach ($type in 1, 2) {
        $made = Step "reference point of type $type" {
            $in = @{ AffectedSystem = $system; ReferencePointSettings = [Text.Encoding]::Unicode.GetString($bytes); ReferencePointType = [uint16]$type }
            Complete-Job (Invoke-CimMethod -InputObject $service -MethodName CreateReferencePoint -Arguments $in)
            'made'
        }
        if ($made) { break }
    }
    # Windows creates a checkpoint for it and merges that afterwards.
    for ($i = 0; $i -lt 60 -and (Get-VMHardDiskDrive -VM $Vm).Path -ne $Disk; $i++) { Start-Sleep -Seconds 1 }
    foreach ($point in @(Get-CimInstance -Namespace $space -ClassName Msvm_VirtualSystemReferencePoint | Where-Object { $_.VirtualSystemIdentifier -eq "$($Vm.Id)" })) {
        foreach ($id in @($point.ResilientChangeTrackingIdentifiers)) { if ($id) { Note 'id' -Id $id } }
    }
}

# The first writes: within a unit, across unit boundaries, at the end of the disk. The later ones:
# some units, and a whole chunk of 1021 units of 16 KiB. The last one.
function Get-Places([long]$Size) { (Part 64KB 4KB), (Part (1MB - 4KB) 8KB), (Part 5MB 100KB), (Part ($Size - 4KB) 4KB) }
$later = (Part 2MB 64KB), (Part 33456128 16728064)
$last = @(Part 8MB 16KB)

# A disk of this size and sector size: newly tracked, after writes, and after more writes.
function Invoke-Disk($S, [string]$Directory) {
    $disk = Join-Path $Directory 'disk.vhdx'
    [RctSample]::Create($disk, $S.Size, $S.Sector, $null, 0)
    Track $disk
    Save-Case 'fresh' $disk $S.Size $S.Sector -NoAnswers
    Write-Disk $disk (Get-Places $S.Size)
    Note-State $disk
    Save-Case 'written' $disk $S.Size $S.Sector
    Write-Disk $disk $later
    Note-State $disk
    Save-Case 'more' $disk $S.Size $S.Sector
}

# A child that keeps its parent's ids (flag 0x20), as a checkpoint creates it, and then its merge.
function Invoke-Child($S, [string]$Directory) {
    $base = Join-Path $Directory 'base.vhdx'
    $child = Join-Path $Directory 'child.avhdx'
    [RctSample]::Create($base, $S.Size, $S.Sector, $null, 0)
    Track $base
    Write-Disk $base (Get-Places $S.Size)
    Note-State $base
    Step 'make a child' { [RctSample]::Create($child, 0, 0, $base, 0x20); Note 'child' }
    Note-State $child
    Write-Disk $child $later
    Note-State $child
    Save-Case 'child' $child $S.Size $S.Sector
    Step 'merge' {
        # METAOPS, with both files open for writing.
        With-Handle ([RctSample]::Open($child, 1, 0x200000, 2, $false)) { param($h) [RctSample]::Merge($h) }
        Remove-Item -LiteralPath $child, "$child.rct", "$child.mrt" -ErrorAction SilentlyContinue
        Note 'merge'
    }
    Note-State $base
    Write-Disk $base $last
    Note-State $base
    Save-Case 'merged' $base $S.Size $S.Sector
}

# A VHD Set: a snapshot after each of two writes; then the first becomes only a reference point.
function Invoke-Set($S, [string]$Directory) {
    $set = Join-Path $Directory 'set.vhds'
    [void](New-VHD -Path $set -Dynamic -SizeBytes $S.Size -LogicalSectorSizeBytes $S.Sector)
    Track $set
    Save-Case 'fresh' $set $S.Size $S.Sector -NoAnswers
    $snapshots = @([Guid]::NewGuid(), [Guid]::NewGuid())
    $places = @(Get-Places $S.Size), $later
    for ($i = 0; $i -lt 2; $i++) {
        Write-Disk $set $places[$i]
        $snapshot = $snapshots[$i]
        Step 'take a snapshot' {
            With-Handle ([RctSample]::OpenForChange($set)) { param($h) [RctSample]::Snapshot($h, $snapshot) }
            Note 'snapshot' -Id $snapshot.ToString()
        }
        Note-State $set
    }
    Write-Disk $set $last
    foreach ($stage in 'two', 'one') {
        if ($stage -eq 'one') {
            Step 'delete a snapshot, keep its id' {
                With-Handle ([RctSample]::OpenForChange($set)) { param($h) [RctSample]::DeleteSnapshot($h, $snapshots[0]) }
                Note 'deleted' -Id $snapshots[0].ToString()
            }
            Note-State $set
        }
        Step 'list snapshots' {
            $list = Get-VHDSnapshot -Path $set -GetParentPaths | ConvertTo-Json -Depth 4
            [IO.File]::WriteAllText("$set.snapshots.json", "$list")
        }
        Save-Case $stage $set $S.Size $S.Sector
    }
}

# The files of a disk in use, from a shadow copy of their volume, and after it was detached.
function Invoke-Unclean($S, [string]$Directory) {
    $disk = Join-Path $Directory 'disk.vhdx'
    [RctSample]::Create($disk, $S.Size, $S.Sector, $null, 0)
    Track $disk
    $link = Join-Path $Output 'shadow'
    Write-Disk $disk (Get-Places $S.Size) -While {
        $volume = [IO.Path]::GetPathRoot($Directory)
        $made = Invoke-CimMethod -ClassName Win32_ShadowCopy -MethodName Create -Arguments @{ Volume = $volume; Context = 'ClientAccessible' }
        if ($made.ReturnValue -ne 0) { throw "the shadow copy cannot be made: $($made.ReturnValue)" }
        $shadow = Get-CimInstance -ClassName Win32_ShadowCopy | Where-Object { $_.ID -eq $made.ShadowID }
        if (-not $shadow) { throw 'the shadow copy cannot be found' }
        try {
            [void](cmd.exe /c mklink /d "$link" "$($shadow.DeviceObject)\")
            Save-Case 'attached' $disk $S.Size $S.Sector -From (Join-Path $link $Directory.Substring($volume.Length)) -NoAnswers
        } finally {
            # Removes the link itself, never its target.
            [void](cmd.exe /c rmdir "$link")
            Remove-CimInstance -InputObject $shadow
        }
    }
    Save-Case 'detached' $disk $S.Size $S.Sector
}

# A VM that is never started, with reference points between writes.
function Invoke-Vm($S, [string]$Directory) {
    $disk = Join-Path $Directory 'disk.vhdx'
    [RctSample]::Create($disk, $S.Size, $S.Sector, $null, 0)
    $vm = New-VM -Name "rct-sample-$([Guid]::NewGuid())" -Generation 2 -NoVHD -MemoryStartupBytes 64MB -Path (Join-Path $Directory 'vm')
    try {
        Add-VMHardDiskDrive -VM $vm -Path $disk
        Step 'first reference point' { New-ReferencePoint $vm $disk }
        Note-State $disk
        Write-Disk $disk (Get-Places $S.Size)
        Step 'second reference point' { New-ReferencePoint $vm $disk }
        Note-State $disk
        Write-Disk $disk $later
        Note-State $disk
        Save-Case 'points' $disk $S.Size $S.Sector
    } finally { Remove-VM -VM $vm -Force }
}

[void](New-Item -ItemType Directory -Path $sample, $work)
try {
    foreach ($s in $scenarios) {
        $scenario = $s.Name
        $log.Clear()
        Write-Host "$scenario ..."
        $directory = Join-Path $work $scenario
        [void](New-Item -ItemType Directory -Path $directory)
        Step 'scenario' {
            switch ($scenario) {
                'child' { Invoke-Child $s $directory }
                'set' { Invoke-Set $s $directory }
                'unclean' { Invoke-Unclean $s $directory }
                'vm' { Invoke-Vm $s $directory }
                default { Invoke-Disk $s $directory }
            }
        } | Out-Null
    }
} finally {
    # object: manifest
    $manifest = [ordered]@{
        format = 'vhdx-rct field sample'
        version = 1
        origin = 'hyper-v'
        windows = "$($os.Caption) $($os.Version).$revision"
        cases = @($cases.ToArray())
        errors = @($errors.ToArray())
    }
    [IO.File]::WriteAllText((Join-Path $sample 'manifest.json'), (ConvertTo-Json -InputObject $manifest -Depth 12))
    # Removes only the directory that this run created. Closing the handles has detached every disk.
    Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction Continue
}
Compress-Archive -Path (Join-Path $sample '*') -DestinationPath "$sample.zip"
Write-Host "Done: $($cases.Count) cases, $($errors.Count) steps that failed (they are part of the sample). Send $sample.zip"
