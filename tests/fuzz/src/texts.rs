//! Tables of images, captions, reports.

use std::fs;

use roentgen_web::tokens::ClipTokenizer;
use train::data::readers::{self, impression::impression};

use crate::{Target, golden, kind, of_kind};

/// Tables by folder, with a good one of each. Their images are a.png and b.png.
const TABLES: [(&str, &str); 7] = [
    (
        "findings/metadata.csv",
        "file,dataset,patient,view,sex,age,age_group,findings,other,split\n\
         a.png,nih_chestxray14,a,PA,M,60,adult,Effusion|Mass,,train\n\
         b.png,nih_chestxray14,b,AP,F,,child,No Finding,tube,train\n",
    ),
    (
        "findings/bboxes.csv",
        "file,label,x,y,w,h\na.png,Effusion,0.1,0.5,0.2,0.25\n",
    ),
    (
        "texts/metadata.csv",
        "file,text,split\na.png,\"Clear lungs,\n no effusion.\",train\nb.png,Mass.,\n",
    ),
    (
        "collection/boxes/images.csv",
        "file,findings\nnih/a.png,Effusion|Diffuse Nodule\nnih/b.png,Fracture\n",
    ),
    (
        "collection/boxes/boxes.csv",
        "file,label,x1,y1,x2,y2\nnih/a.png,Effusion,100,500,300,700\n",
    ),
    (
        "mimic/mimic-cxr-2.0.0-metadata.csv",
        "dicom_id,subject_id,study_id,ViewPosition\na,10000032,50414267,PA\nb,10000032,50414267,LATERAL\n",
    ),
    (
        "mimic/mimic-cxr-2.0.0-split.csv",
        "dicom_id,split\na,train\nb,test\n",
    ),
];

const REPORT_TEXT: &str = "FINAL REPORT\n EXAMINATION: CHEST (PA)\n\n FINDINGS:\n Clear lungs.\n\n IMPRESSION:\n \n Small left effusion.\n";

pub const TABLE: Target = Target {
    name: "table",
    prepare: |folder| {
        let write = |file: &str, text: &str| {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        for (file, good) in TABLES {
            write(file, good);
        }
        write("collection/nih/metadata.csv", TABLES[0].1);
        for folder in ["findings", "texts", "collection/nih"] {
            write(&format!("{folder}/a.png"), "");
            write(&format!("{folder}/b.png"), "");
        }
        let study = "mimic/files/p10/p10000032/s50414267";
        write(&format!("{study}.txt"), REPORT_TEXT);
        write(&format!("{study}/a.jpg"), "");
    },
    seeds: || {
        let seed = |(i, (_, good)): (usize, &(_, &str))| of_kind(i, good.as_bytes().to_vec());
        TABLES.iter().enumerate().map(seed).collect()
    },
    run: |folder, bytes| {
        let Some(((file, good), bytes)) = kind(&TABLES, bytes) else {
            return;
        };
        let path = folder.join(file);
        fs::write(&path, bytes).expect("a file");
        let layout = file.split('/').next().expect("a folder");
        match readers::list(&folder.join(layout)) {
            Ok((_, listing)) => {
                for pair in listing.pairs {
                    assert!(pair.path.starts_with(folder), "{}", pair.path.display());
                    pair.caption.prompt(7);
                }
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
        fs::write(&path, good).expect("a file");
    },
};

pub const REPORT: Target = Target {
    name: "report",
    prepare: |_| {},
    seeds: || {
        vec![
            REPORT_TEXT.into(),
            "WET READ: ___\n IMPRESSION: 1. Left effusion.".into(),
        ]
    },
    run: |_, bytes| {
        thread_local! {
            static TOKENIZER: ClipTokenizer =
                ClipTokenizer::from_json(&golden("pipeline_dc/tokenizer/tokenizer.json")).expect("a golden");
        }
        let text = String::from_utf8_lossy(bytes);
        let said = impression(&text).unwrap_or_default();
        TOKENIZER.with(|tokenizer| {
            for text in [&said, &*text] {
                let encoded = tokenizer.encode(text).expect("any text has tokens");
                assert_eq!(encoded.ids.len(), tokenizer.model_max_length());
            }
        });
    },
};
